from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import ArtifactError
from pellucid.documents.document import SCHEMA, Document, digest_text
from pellucid.documents.store import DocumentWriter, iter_documents, iter_split, split_files


def document(number: int, text: str) -> Document:
    return Document(str(number), text, "web", "en", "CC0-1.0", "here", digest_text(text))


def test_documents_come_back_in_order_and_the_bytes_are_always_the_same(tmp_path: Path) -> None:
    documents = [document(n, text) for n, text in enumerate(["x", "Grüße 🎈 \x00", "a\r\nb", "y" * 9_000_000, "z"])]
    for name in ("a", "b"):
        with DocumentWriter(tmp_path / name / "train.parquet") as writer:
            for item in documents:
                writer.write(item)
    assert list(iter_documents(tmp_path / "a" / "train.parquet")) == documents
    assert (tmp_path / "a" / "train.parquet").read_bytes() == (tmp_path / "b" / "train.parquet").read_bytes()


def test_row_groups_are_bounded_in_bytes_and_carry_the_schema(tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "a.parquet") as writer:
        for n in range(50):
            writer.write(document(n, f"{n:03d}" + "x" * 999_997))
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        assert file.schema_arrow.equals(SCHEMA)
        assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [9, 9, 9, 9, 9, 5]


def test_no_documents_give_no_file_and_a_split_may_have_none(tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "web" / "train" / "00000.parquet"):
        pass
    assert list(tmp_path.iterdir()) == []
    assert split_files(tmp_path, "web", "train") == [] and list(iter_split(tmp_path, "web", "train")) == []


def test_a_file_appears_when_all_of_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(KeyError), DocumentWriter(path) as writer:
        writer.write(document(1, "y" * 9_000_000))
        raise KeyError
    assert not path.exists()


def test_the_files_of_a_split_are_one_sequence_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        with DocumentWriter(tmp_path / "web" / "train" / f"{number:05d}.parquet") as writer:
            writer.write(document(number, f"text {number}"))
    assert [one.id for one in iter_split(tmp_path, "web", "train")] == ["1", "2", "10"]
    assert [one.text for one in iter_split(tmp_path, "web", "train", ("text",))] == ["text 1", "text 2", "text 10"]


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "a.parquet") as writer:
        writer.write(document(1, "hello"))
    assert list(iter_documents(tmp_path / "a.parquet", columns=("text", "language"))) == [
        Document("", "hello", "", "en", "", "", "")
    ]


def test_a_missing_damaged_or_foreign_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    with pytest.raises(ArtifactError, match=r"train\.parquet cannot be read as documents"):
        list(iter_documents(path))
    with DocumentWriter(path) as writer:
        writer.write(document(1, "hello" * 1000))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=r"train\.parquet cannot be read as documents"):
        list(iter_documents(path))
    pq.write_table(pq.ParquetFile(_written(tmp_path / "b.parquet")).read(["id"]), path)
    with pytest.raises(ArtifactError, match=r"train\.parquet cannot be read as documents"):
        list(iter_documents(path))


def _written(path: Path) -> Path:
    with DocumentWriter(path) as writer:
        writer.write(document(1, "hello"))
    return path
