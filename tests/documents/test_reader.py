from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import DataError
from pellucid.documents.document import Document, Dropped
from pellucid.documents.reader import read_source
from pellucid.recipe.data import SourceConfig

MakeSource = Callable[..., SourceConfig]
WriteJsonl = Callable[[Path, list[Any]], Path]


def documents(source: SourceConfig, base: Path) -> list[Document]:
    items = list(read_source(source, base))
    assert all(isinstance(item, Document) for item in items)
    return [item for item in items if isinstance(item, Document)]


def test_a_record_says_what_it_is_and_the_source_fills_in_the_rest(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    own = {"id": 17, "text": "a", "language": "fr", "license": "MIT", "url": "https://example.org", "source": "ignored"}
    write_jsonl(tmp_path / "raw" / "a.jsonl", [own, {"text": "b", "language": None, "licence": ["MIT"]}])
    source = make_source("raw/*.jsonl", name="web", language="de", licence="CC0-1.0")
    assert documents(source, tmp_path) == [
        Document("17", "a", "web", "fr", "MIT", "https://example.org", sha256(b"a").hexdigest()),
        Document("raw/a.jsonl@100", "b", "web", "de", "CC0-1.0", "raw/a.jsonl", sha256(b"b").hexdigest()),
    ]


def test_what_nobody_knows_is_said_in_the_standards_words(tmp_path: Path, make_source: MakeSource) -> None:
    (tmp_path / "a.txt").write_text("x")
    (document,) = documents(make_source("a.txt"), tmp_path)
    assert (document.id, document.language, document.licence, document.origin) == ("a.txt", "und", "NOASSERTION", "a.txt")


def test_ids_are_unique_in_a_source_even_when_its_files_number_alike(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"id": "1", "text": "a"}, {"id": "b.jsonl@22", "text": "b"}])
    write_jsonl(tmp_path / "b.jsonl", [{"id": "1", "text": "c"}, {"text": "d"}, {"id": "1@b.jsonl@0", "text": "e"}])
    ids = [document.id for document in documents(make_source("*.jsonl"), tmp_path)]
    assert ids == ["1", "b.jsonl@22", "1@b.jsonl@0", "b.jsonl@22@b.jsonl@22", "1@b.jsonl@0@b.jsonl@35"]


def test_files_of_several_kinds_make_one_source_in_the_order_of_their_names(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    write_jsonl(tmp_path / "2.jsonl", [{"text": "two"}])
    pq.write_table(pa.table({"text": ["three", "four"]}), tmp_path / "3.parquet")
    (tmp_path / "1.txt").write_text("one")
    assert [document.text for document in documents(make_source("*"), tmp_path)] == ["one", "two", "three", "four"]


def test_each_unusable_record_is_dropped_for_its_own_reason(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    bad = [{"txt": "x"}, {"text": None}, {"text": ""}, {"text": 5}, b'{"text": "\\ud800"}', b"{"]
    write_jsonl(tmp_path / "a.jsonl", bad + [{"text": f"good {n}"} for n in range(6)])
    items = list(read_source(make_source("a.jsonl"), tmp_path))
    assert [item.reason for item in items if isinstance(item, Dropped)] == [
        "no text",
        "no text",
        "empty text",
        "text is not a string",
        "lone surrogate",
        "invalid json",
    ]
    assert sum(isinstance(item, Document) for item in items) == 6


def test_a_broken_surrogate_outside_the_text_costs_no_document(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    write_jsonl(tmp_path / "a.jsonl", [b'{"text": "good", "url": "x\\ud800"}'])
    (document,) = documents(make_source("a.jsonl"), tmp_path)
    assert document.origin == "x?"


def test_a_source_that_is_mostly_unusable_is_refused_with_counts_and_the_first_case(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    half = [{"content": "x", "url": "y"}, {"text": "good"}]
    write_jsonl(tmp_path / "a.jsonl", half)
    assert len(list(read_source(make_source("a.jsonl"), tmp_path))) == 2
    write_jsonl(tmp_path / "a.jsonl", [*half, b"{"])
    with pytest.raises(DataError, match=r"2 of 3 records cannot be used, more than half \(invalid json: 1, no text: 1\)") as caught:
        list(read_source(make_source("a.jsonl"), tmp_path))
    assert "a.jsonl@0, which has no field 'text' (its fields: content, url). Set text_column" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_files_without_a_record_are_an_empty_source(tmp_path: Path, make_source: MakeSource, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=r"source 'wiki' is empty: what matches 'a\.jsonl' holds no record"):
        list(read_source(make_source("a.jsonl", name="wiki"), tmp_path))


def test_documents_of_one_byte_and_of_fifty_megabytes_are_documents(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}, {"text": "ü" * 25_000_000}])
    assert [len(document.text) for document in documents(make_source("a.jsonl"), tmp_path)] == [1, 25_000_000]
    short, long = read_source(make_source("a.jsonl"), tmp_path, max_bytes=49_999_999)
    assert isinstance(short, Document)
    assert long == Dropped("longer than max_bytes", 50_000_000, "a.jsonl@13")
