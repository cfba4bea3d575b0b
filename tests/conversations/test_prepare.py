import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pellucid.conversations import prepare
from pellucid.conversations.encode import Encode
from pellucid.conversations.prepare import FUNNEL, Preparation, prepare_conversations
from pellucid.conversations.store import Encoded, Examples
from pellucid.conversations.turns import Messages
from pellucid.core.errors import DataError
from pellucid.core.processes import end_workers
from pellucid.recipe.conversations import ConversationConfig

WriteSource = Callable[..., ConversationConfig]
SHARED = Path(__file__).parents[3] / "shared" / "data"


def byte_encode(messages: Messages, last_only: bool) -> Encoded:
    """A byte is an id; answers are targets."""
    if messages[0]["role"] == "system":
        raise DataError("no system prompts here")
    parts = [(one["content"].encode(), one["role"] == "assistant") for one in messages]
    last = len(parts) - 1
    ids = [byte for data, _ in parts for byte in data]
    return Encoded(ids, [said and (number == last or not last_only) for number, (data, said) in enumerate(parts) for _ in data])


def open_encode() -> Encode:
    return byte_encode


HOW = Preparation(open_encode, lambda source, holds_pairs: 64, max_bytes=1 << 20, workers=1)


def texts(folder: Path) -> list[str]:
    found = Examples(folder)
    return [bytes(found.read(number)[0].astype(np.uint8)).decode() for number in range(found.sequences)]


def digest(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return hashlib.sha256(b"".join(str(file.relative_to(folder)).encode() + file.read_bytes() for file in files)).hexdigest()


def test_the_first_of_equal_conversations_over_all_sources_stays(tmp_path: Path, write_source: WriteSource) -> None:
    one = write_source("one", [{"prompt": "Q", "response": "A"}, {"prompt": "Q", "response": "A"}], heldout_frac=0)
    two = write_source("two", [{"query": "Q", "response": "A"}, {"query": "Q", "response": "B"}], heldout_frac=0)
    three = write_source("three", [{"prompt": "Q", "chosen": "A", "rejected": no} for no in ("B", "C", "B")], heldout_frac=0)
    funnel = prepare_conversations([one, two, three], tmp_path, tmp_path / "out", HOW)
    assert [texts(tmp_path / "out" / name / "train") for name in ("one", "two")] == [["QA"], ["QB"]]
    assert texts(tmp_path / "out" / "three" / "train") == ["QA", "QB", "QA", "QC"], "another rejected answer is another pair"
    assert [dict(one.drops.counts) for one in funnel.sources.values()] == [
        {"duplicate conversation": 1},
        {"duplicate conversation": 1},
        {"duplicate pair": 1},
    ]
    assert Examples(tmp_path / "out" / "three" / "train").sequences_per_example == 2
    assert json.loads((tmp_path / "out" / FUNNEL).read_text()) == funnel.as_json()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["funnel.json", "one", "three", "two"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_question_that_one_source_holds_out_is_trained_on_in_none(order: int, tmp_path: Path, write_source: WriteSource) -> None:
    shared = [f"Q{n}" for n in range(400)]
    sources = [
        write_source("none", [{"prompt": one, "response": "A"} for one in shared], heldout_frac=0),
        write_source("talks", [{"prompt": f"{one}?", "response": "B"} for one in [*shared, *(f"T{n}" for n in range(400))]]),
        write_source("likes", [{"prompt": one, "chosen": "C", "rejected": "D"} for one in shared[:200]], heldout_frac=0.2),
        write_source("apart", [{"prompt": f"X{n}", "response": "A"} for n in range(400)], heldout_frac=0),
    ][::order]
    funnel = prepare_conversations(sources, tmp_path, tmp_path / "out", HOW)
    sides = [
        {text.rstrip("?ABCD") for source in sources for text in texts(tmp_path / "out" / source.name / split)}
        for split in ("train", "heldout")
    ]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 1200
    accounts = funnel.sources
    assert accounts["likes"].heldout_elsewhere == 0 < accounts["talks"].heldout_elsewhere
    assert 20 < accounts["likes"].splits["heldout"].examples < 60
    assert accounts["none"].heldout_elsewhere == accounts["none"].splits["heldout"].examples
    assert accounts["apart"].splits["heldout"].examples == 0, "a source that shares no question holds out what it was asked to"
    assert funnel.as_json()["sources"]["talks"]["heldout_elsewhere"] == accounts["talks"].heldout_elsewhere
    alone = prepare_conversations([one for one in sources if one.name == "talks"], tmp_path, tmp_path / "alone", HOW)
    only = accounts["talks"].splits["heldout"].examples - accounts["talks"].heldout_elsewhere
    assert alone.sources["talks"].splits["heldout"].examples == only


def test_what_a_source_drops_makes_nothing_in_a_later_one_a_duplicate(tmp_path: Path, write_source: WriteSource) -> None:
    records = [{"prompt": f"Q{n}", "response": "A"} for n in range(20)]
    long = {"prompt": "L" * 30, "response": "A"}
    refused = {"prompt": "R", "response": "A", "system": "S"}
    one = write_source("one", [*records, *records[:5]], heldout_frac=0, max_examples=4)
    two = write_source("two", [long, refused, {"prompt": "X", "response": "A"}, {"prompt": "Y", "response": "A"}], heldout_frac=0)
    three = write_source("three", [*records, long, long, refused], heldout_frac=0)
    how = replace(HOW, limit_tokens=lambda source, holds_pairs: 20 if source.name == "two" else 64)
    funnel = prepare_conversations([one, two, three], tmp_path, tmp_path / "out", how)
    assert funnel.sources["one"].drops.counts == {"duplicate conversation": 5, "more than max_examples": 16}
    assert funnel.sources["two"].drops.counts == {"nothing left within the context": 1, "refused by the chat template": 1}
    assert funnel.sources["three"].drops.counts == {"duplicate conversation": 5, "refused by the chat template": 1}
    written = [text for name in ("one", "three") for text in texts(tmp_path / "out" / name / "train")]
    assert sorted(written) == sorted([f"Q{n}A" for n in range(20)] + ["L" * 30 + "A"])


def test_a_part_is_chosen_by_digest_whatever_the_order_of_records(tmp_path: Path, write_source: WriteSource) -> None:
    records = [{"prompt": f"Q{n}", "response": "A"} for n in range(50)]
    chosen = []
    for name, order in (("one", records), ("two", records[::-1])):
        source = write_source(name, order, max_examples=9, heldout_frac=0.3)
        funnel = prepare_conversations([source], tmp_path, tmp_path / name, HOW)
        assert funnel.sources[name].drops.counts == {"more than max_examples": 41}
        chosen.append([sorted(texts(tmp_path / name / name / split)) for split in ("train", "heldout")])
    assert chosen[0] == chosen[1]
    assert sum(map(len, chosen[0])) == 9


def test_what_a_killed_call_left_is_thrown_away(tmp_path: Path, write_source: WriteSource) -> None:
    source = write_source("one", [{"prompt": "Q", "response": "A"}], heldout_frac=0)
    prepare_conversations([source], tmp_path, tmp_path / "out", HOW)
    before = digest(tmp_path / "out")
    (tmp_path / "out" / ".work.part").mkdir()
    (tmp_path / "out" / ".work.part" / "000000-00000.jsonl").write_text("{cut")
    prepare_conversations([source], tmp_path, tmp_path / "out", HOW)
    assert digest(tmp_path / "out") == before


def test_a_source_that_is_not_what_the_recipe_says_is_refused(tmp_path: Path, write_source: WriteSource) -> None:
    def refused(source: ConversationConfig, match: str) -> None:
        with pytest.raises(DataError, match=match):
            prepare_conversations([source], tmp_path, tmp_path / "out", HOW)
        assert not (tmp_path / "out" / FUNNEL).exists()

    half = [{"prompt": "Q", "response": "A"}, {"prompt": "Q"}, "{", {"prompt": "Q", "response": 7}]
    refused(
        write_source("odd", half),
        r"source 'odd': 3 of 4 records cannot be used, more than half \(invalid json: 1, not of its shape: 2\)"
        r"\. The first is odd.jsonl@\d+, which has no 'output'.*Records were read as shape alpaca: name another shape",
    )
    none = [{"prompt": "Q", "response": " "}]
    refused(write_source("odd", none), r"none of its 1 records is left to train on \(empty answer: 1\)")
    one = [{"prompt": "Q", "response": "A"}]
    refused(write_source("odd", one, heldout_frac=0.9999999), r"left to train on \(all are held out\)")
    system = [{"prompt": "Q", "response": "A", "system": "S"}, {"prompt": "Q", "response": "B", "system": "S"}, one[0]]
    refused(
        write_source("odd", system, heldout_frac=0),
        r"source 'odd': the chat template refuses 2 of 3 conversations. The first is odd.jsonl@0, which cannot .*no system prompts",
    )


def test_bytes_do_not_depend_on_who_does_the_work(
    tmp_path: Path, write_source: WriteSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    talks = write_source("talks", [{"prompt": f"Q{n}", "response": f"A{n % 1500}"} for n in range(3000)])
    likes = [{"prompt": f"Q{n}", "chosen": "A", "rejected": "B"} for n in range(500)]
    sources = [talks, write_source("likes", likes, heldout_frac=0.1)]
    prepare_conversations(sources, tmp_path, tmp_path / "alone", HOW)
    for name in ("_PARALLEL_FROM_BYTES", "_PARALLEL_ENCODING_FROM_BYTES"):
        monkeypatch.setattr(prepare, name, 1)
    monkeypatch.setattr(prepare, "_PIECE_BYTES", 40_000)
    try:
        prepare_conversations(sources, tmp_path, tmp_path / "shared", replace(HOW, workers=2))
    finally:
        end_workers()
    assert digest(tmp_path / "alone") == digest(tmp_path / "shared")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data")
def test_real_pairs_are_accounted_for_to_the_last_one(tmp_path: Path) -> None:
    source = ConversationConfig(name="hh", path=str(SHARED / "preferences" / "hh-rlhf_harmless-base_test.jsonl.gz"))
    funnel = prepare_conversations([source], tmp_path, tmp_path / "out", replace(HOW, limit_tokens=lambda source, pairs: 4096))
    account = funnel.sources["hh"]
    assert account.read == 2312
    assert account.is_whole
    assert account.shape == "pairs"
    train = Examples(tmp_path / "out" / "hh" / "train")
    assert train.examples == account.splits["train"].examples > 2000
    assert np.isnan(train.values["chosen_score"]).all()
    for number in range(0, train.sequences, 2):
        (chosen, learnt), (rejected, also) = train.read(number), train.read(number + 1)
        assert learnt[-1]
        assert also[-1]
        assert not learnt[0]
        assert (chosen[~learnt] == rejected[~also]).all(), "both sides were asked the same"
