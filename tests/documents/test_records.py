import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import DataError
from pellucid.documents.document import Dropped
from pellucid.documents.records import Record, read_records
from pellucid.recipe.data import SourceConfig

MakeSource = Callable[..., SourceConfig]
WriteJsonl = Callable[[Path, list[Any]], Path]
LIMIT = 10**9


def test_a_text_file_is_one_record_with_its_line_ends_kept_and_its_byte_order_mark_gone(
    tmp_path: Path, make_source: MakeSource
) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert list(read_records(make_source("*"), file, LIMIT)) == [Record(1, {"text": "one\r\ntwo\n"}, 12)]


def test_a_text_file_over_the_limit_is_not_even_read(tmp_path: Path, make_source: MakeSource) -> None:
    file = tmp_path / "a.txt"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: a terabyte that nobody could hold
    assert list(read_records(make_source("*"), file, LIMIT)) == [Dropped("longer than max_bytes", 1 << 40, "a.txt")]


def test_lines_that_are_no_json_object_are_dropped_and_empty_lines_are_no_records(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", [b'\xef\xbb\xbf{"text": "first"}', b"", b"{oops", b"[1]", b"  ", {"text": "last"}])
    records = list(read_records(make_source("*"), file, LIMIT))
    assert [(record.number, record.fields["text"]) for record in records if isinstance(record, Record)] == [
        (1, "first"),
        (6, "last"),
    ]
    assert [(record.reason, record.where) for record in records if isinstance(record, Dropped)] == [
        ("invalid json", "a.jsonl:3"),
        ("invalid json", "a.jsonl:4"),
    ]


def test_json_that_only_python_takes_is_read_and_endless_nesting_is_not(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", [b'{"text": "good", "score": NaN}', b'{"text": ' + b"[" * 200_000])
    good, bad = read_records(make_source("*"), file, LIMIT)
    assert isinstance(good, Record)
    assert good.fields["text"] == "good"
    assert isinstance(bad, Dropped)


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_that_is_not_utf8_names_file_line_and_byte(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl, packed: bool
) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "Grüße"}, '{"text": "Grüße"}'.encode("latin-1")])
    data = file.read_bytes()
    if packed:
        file = tmp_path / "a.jsonl.gz"
        file.write_bytes(gzip.compress(data))
    with pytest.raises(DataError, match=rf"{file.name} is not UTF-8: line 2, byte offset {data.index(0xFC)}\b.* \(byte 0xfc\)"):
        list(read_records(make_source("*"), file, LIMIT))


def test_a_text_file_that_is_not_utf8_names_the_line_and_byte(tmp_path: Path, make_source: MakeSource) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\ntwo\nthr\xe9e\n")
    with pytest.raises(DataError, match=r"line 3, byte offset 11 .*iconv -f WINDOWS-1252"):
        list(read_records(make_source("*"), file, LIMIT))
    file.write_bytes("one".encode("utf-16"))
    with pytest.raises(DataError, match=r"line 1, byte offset 0 .*iconv -f UTF-16"):
        list(read_records(make_source("*"), file, LIMIT))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary()])
def test_a_parquet_column_of_any_text_type_is_read_with_what_it_says_of_itself(
    tmp_path: Path, make_source: MakeSource, kind: pa.DataType
) -> None:
    texts = pa.array([b"Gr\xc3\xbc\xc3\x9fe", None], kind) if kind == pa.binary() else pa.array(["Grüße", None]).cast(kind)
    table = pa.table({"number": [1, 2], "body": texts, "url": ["a", "b"], "language": ["de", None]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert list(read_records(make_source("*", text_column="body"), tmp_path / "a.parquet", LIMIT)) == [
        Record(1, {"body": "Grüße", "language": "de", "url": "a"}, 7),
        Record(2, {"body": None, "language": None, "url": "b"}, 0),
    ]


def test_a_parquet_without_the_text_column_lists_what_it_has_and_the_nearest(tmp_path: Path, make_source: MakeSource) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"number": [1], "texts": ["x"]}), file)
    with pytest.raises(DataError, match=r"has the columns number \(int64\), texts \(string\)\. Set text_column: texts"):
        list(read_records(make_source("*"), file, LIMIT))
    pq.write_table(pa.table({"text": [1]}), file)
    with pytest.raises(DataError, match=r"is no string, has the columns text \(int64\)\. Choose files"):
        list(read_records(make_source("*"), file, LIMIT))


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_a_parquet_with_strings_that_are_not_utf8_names_the_row(tmp_path: Path, make_source: MakeSource, kind: pa.DataType) -> None:
    values = pa.array([b"good", b"fine", b"thr\xe9e"], pa.binary())
    column = values if kind == pa.binary() else pa.Array.from_buffers(pa.string(), 3, values.buffers())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 3 is not UTF-8: byte offset 3 of the value \(byte 0xe9\)"):
        list(read_records(make_source("*"), tmp_path / "a.parquet", LIMIT))


def test_a_parquet_that_was_cut_short_is_named(tmp_path: Path, make_source: MakeSource) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x" * 1000]}), file)
    for damaged in (file.read_bytes()[:-100], b"", b"PAR1 this is no table PAR1"):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
            list(read_records(make_source("*"), file, LIMIT))


def test_one_huge_row_group_is_read_in_small_pieces(tmp_path: Path, make_source: MakeSource) -> None:
    count = 8_000
    table = pa.table({"text": [f"{n} " + "x" * 12_000 for n in range(count)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=count, use_dictionary=False)
    whole, before, peak = table.nbytes, pa.total_allocated_bytes(), 0
    for n, record in enumerate(read_records(make_source("*"), tmp_path / "a.parquet", LIMIT)):
        assert isinstance(record, Record)
        assert record.fields["text"].startswith(f"{n} ")
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < whole / 2
