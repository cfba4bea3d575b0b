from pathlib import Path

from pellucid.documents.document import Document, Dropped, digest_text
from pellucid.documents.pipeline.dropped import DroppedWriter, iter_dropped


def document(text: str) -> Document:
    return Document("id", text, "web", "en", "CC0-1.0", "here", digest_text(text), "a.jsonl:3")


def test_what_was_dropped_can_be_read_with_its_reason_whether_or_not_it_became_a_document(tmp_path: Path) -> None:
    with DroppedWriter(tmp_path / "early.parquet") as early:
        early.write_record("web", Dropped("not utf-8", 7, "a.jsonl:1", "holds 0xff", b"caf\xe9"))
    with DroppedWriter(tmp_path / "web" / "dropped" / "00000.parquet") as writer:
        writer.copy(tmp_path / "early.parquet")
        writer.copy(tmp_path / "missing.parquet")
        writer.write_document(document("text"), Dropped("near-duplicate", 4, "a.jsonl:3", "kept instead: another"))
    first, second = iter_dropped(tmp_path, "web")
    assert (first["reason"], first["where"], first["bytes"], first["text"]) == ("not utf-8", "a.jsonl:1", 7, "caf\ufffd")
    assert (second["reason"], second["id"], second["text"]) == ("near-duplicate", "id", "text")


def test_nothing_is_written_where_the_recipe_does_not_ask_for_it(tmp_path: Path) -> None:
    with DroppedWriter(None) as writer:
        writer.copy(tmp_path / "missing.parquet")
        writer.write_document(document("text"), Dropped("too short", 4, "a.jsonl:3"))
    assert list(tmp_path.iterdir()) == [] and list(iter_dropped(tmp_path, "web")) == []
