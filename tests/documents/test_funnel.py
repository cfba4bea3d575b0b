from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.files import read_json
from pellucid.documents.funnel import Funnel, SourceFunnel


def test_the_account_has_the_names_that_other_stages_read(tmp_path: Path) -> None:
    source = SourceFunnel()
    source.read.add(21, 3)
    source.keep("en", 10, "train")
    source.keep("de", 5, "heldout")
    source.drop("no text", 3)
    source.edits["email masked"] += 2
    source.cleaned_bytes += 3
    Funnel({"web": source}).write(tmp_path / "funnel.json")
    assert read_json(tmp_path / "funnel.json") == {
        "sources": {
            "web": {
                "read": 3,
                "read_bytes": 21,
                "kept": 1,
                "kept_bytes": 10,
                "heldout": 1,
                "heldout_bytes": 5,
                "dropped": {"no text": {"documents": 1, "bytes": 3}},
                "languages": {
                    "de": {"kept": 0, "kept_bytes": 0, "heldout": 1, "heldout_bytes": 5},
                    "en": {"kept": 1, "kept_bytes": 10, "heldout": 0, "heldout_bytes": 0},
                },
                "edits": {"email masked": 2},
                "cleaned_bytes": 3,
                "lengths": {"3": 1, "4": 1},
            }
        }
    }


KEPT = st.tuples(st.sampled_from(["en", "de", "und"]), st.integers(1, 10**6), st.sampled_from(["train", "heldout"]))
DROPPED = st.tuples(st.sampled_from(["no text", "exact duplicate"]), st.integers(0, 10**6))


@given(st.lists(KEPT | DROPPED, max_size=20), st.integers(0, 20))
def test_the_accounts_of_parts_add_up_to_that_of_the_whole(events: list[tuple[str, int, str] | tuple[str, int]], cut: int) -> None:
    whole, added = SourceFunnel(), SourceFunnel()
    for part in (events[:cut], events[cut:]):
        account = SourceFunnel()
        for funnel in (whole, account):
            for event in part:
                funnel.read.add(event[1])
                funnel.edits[event[0]] += 1
                funnel.cleaned_bytes -= 1
                if len(event) == 3:
                    funnel.keep(*event)
                else:
                    funnel.drop(*event)
        added.add(account.as_json())
    assert added.as_json() == whole.as_json()
