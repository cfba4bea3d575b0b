from pathlib import Path

from pellucid.core.files import read_json
from pellucid.documents.document import Document, Dropped
from pellucid.documents.funnel import Funnel, SourceFunnel


def document(language: str) -> Document:
    return Document("1", "text", "web", language, "", "", "")


def test_the_account_has_the_names_that_other_stages_read(tmp_path: Path) -> None:
    source = SourceFunnel()
    source.keep(document("en"), 10, "train")
    source.keep(document("de"), 5, "heldout")
    source.drop(Dropped("no text", 3, "a:1"))
    Funnel({"web": source}).write(tmp_path / "funnel.json")
    assert read_json(tmp_path / "funnel.json") == {
        "sources": {
            "web": {
                "read": 3,
                "read_bytes": 18,
                "kept": 1,
                "kept_bytes": 10,
                "heldout": 1,
                "heldout_bytes": 5,
                "dropped": {"no text": {"documents": 1, "bytes": 3}},
                "languages": {
                    "de": {"kept": 0, "kept_bytes": 0, "heldout": 1, "heldout_bytes": 5},
                    "en": {"kept": 1, "kept_bytes": 10, "heldout": 0, "heldout_bytes": 0},
                },
            }
        }
    }


def test_a_document_dropped_late_leaves_no_trace_among_the_kept() -> None:
    source, other = SourceFunnel(), SourceFunnel()
    source.keep(document("en"), 10, "train")
    source.drop_kept("en", 10, "train", "exact duplicate")
    other.drop(Dropped("exact duplicate", 10, "a:1"))
    assert source.as_json() == other.as_json()
