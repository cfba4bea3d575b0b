import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import DataError
from pellucid.documents.document import Dropped
from pellucid.documents.pieces import Piece, find_pieces
from pellucid.documents.reader import read_piece
from pellucid.documents.reading import Reading, Record
from pellucid.documents.tables import columns_of, read_arrow, read_parquet
from pellucid.documents.texts import TextOf
from pellucid.recipe.data import SourceConfig

MakeSource = Callable[..., SourceConfig]
LIMIT = 10**9


def reading(source: SourceConfig, base: Path, piece: Piece | None = None) -> Reading:
    return Reading(source, piece or find_pieces(source, base, LIMIT)[0], TextOf(source, base).wanted, LIMIT)


def rows(source: SourceConfig, base: Path, piece: Piece | None = None) -> list[Record | Dropped]:
    return list(read_parquet(reading(source, base, piece)))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary()])
def test_a_parquet_column_of_any_text_type_is_read_with_what_it_says_of_itself(
    tmp_path: Path, make_source: MakeSource, kind: pa.DataType
) -> None:
    texts = pa.array([b"Gr\xc3\xbc\xc3\x9fe", None], kind) if kind == pa.binary() else pa.array(["Grüße", None]).cast(kind)
    table = pa.table({"number": [1, 2], "body": texts, "url": ["a", "b"], "language": ["de", None]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert rows(make_source("a.parquet", text_column="body"), tmp_path) == [
        Record("a.parquet:1", {"body": "Grüße", "language": "de", "url": "a"}),
        Record("a.parquet:2", {"body": None, "language": None, "url": "b"}),
    ]


def test_a_parquet_without_the_text_column_lists_what_it_has_and_the_nearest(tmp_path: Path, make_source: MakeSource) -> None:
    pq.write_table(pa.table({"number": [1], "texts": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"has the columns number \(int64\), texts \(string\)\. Set text_column: texts"):
        rows(make_source("a.parquet"), tmp_path)
    with pytest.raises(DataError, match=r"template wants the field 'answer', but .*a\.parquet has the columns number"):
        rows(make_source("a.parquet", template="{texts} {answer}"), tmp_path)
    pq.write_table(pa.table({"text": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"is no string, has the columns text \(int64\)\. Choose files"):
        rows(make_source("a.parquet"), tmp_path)


def test_nested_columns_are_read_whole_for_a_dotted_path(tmp_path: Path, make_source: MakeSource) -> None:
    table = pa.table({"message": [{"text": "x", "n": 1}, None], "answers": [{"text": ["a"]}, {"text": []}], "other": [1, 2]})
    pq.write_table(table, tmp_path / "a.parquet")
    source = make_source("a.parquet", template="{message.text} {answers.text.0}")
    first, second = rows(source, tmp_path)
    assert isinstance(first, Record)
    assert first.fields == {"message": {"text": "x", "n": 1}, "answers": {"text": ["a"]}}
    assert isinstance(second, Record)
    assert columns_of(reading(source, tmp_path), table.schema) == ["message", "answers"]


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_a_value_that_is_not_utf8_costs_its_row_only(tmp_path: Path, make_source: MakeSource, kind: pa.DataType) -> None:
    values = pa.array([b"good", b"fine", b"thr\xe9e", b"last"], pa.binary())
    column = values if kind == pa.binary() else pa.Array.from_buffers(pa.string(), 4, values.buffers())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    items = rows(make_source("a.parquet"), tmp_path)
    assert [item.fields["text"] for item in items if isinstance(item, Record)] == ["good", "fine", "last"]
    detail = "is not UTF-8: byte offset 3 of the value (byte 0xe9)"
    assert items[2] == Dropped("not utf-8", 5, "a.parquet:3", detail)
    assert isinstance(items[2], Dropped)
    assert items[2].raw == b"thr\xe9e"


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_table_whose_name_is_not_utf8_is_read(tmp_path: Path, make_source: MakeSource, ending: str) -> None:
    write_table(tmp_path / f"a.{ending}", pa.table({"text": ["x"]}))
    try:
        (tmp_path / f"a.{ending}").rename(tmp_path / os.fsdecode(b"caf\xe9." + ending.encode()))
    except OSError:
        pytest.skip("this file system takes no such names")
    source = make_source("caf*")
    read = {"parquet": read_parquet, "arrow": read_arrow}[ending]
    assert list(read(reading(source, tmp_path))) == [Record(f"caf\\xe9.{ending}:1", {"text": "x"})]


def write_table(file: Path, table: pa.Table) -> None:
    if file.suffix == ".parquet":
        pq.write_table(table, file)
    else:
        with pa.ipc.new_file(str(file), table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_time_that_python_cannot_hold_costs_no_row_or_only_its_own(tmp_path: Path, make_source: MakeSource, name: str) -> None:
    times = pa.array([0, 2**61, 0], pa.timestamp("us"))
    inside = pa.StructArray.from_arrays([pa.array(["a", "b", "c"]), times], ["text", "at"])
    write_table(tmp_path / name, pa.table({"text": ["x", "y", "z"], "id": times, "url": times, "message": inside}))
    read = read_parquet if name == "a.parquet" else read_arrow
    assert list(read(reading(make_source(name), tmp_path))) == [
        Record(f"{name}:{n}", {"text": text}) for n, text in enumerate("xyz", start=1)
    ]
    for wanted in ({"text_column": "message.text"}, {"template": "{text} {id}"}):
        first, second, third = read(reading(make_source(name, **wanted), tmp_path))
        assert isinstance(first, Record) and isinstance(third, Record)
        assert isinstance(second, Dropped)
        assert (second.reason, second.where) == ("unreadable value", f"{name}:2")


@pytest.mark.parametrize("kind", [pa.int16(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_ids_of_strings_and_whole_numbers_are_read(tmp_path: Path, make_source: MakeSource, kind: pa.DataType) -> None:
    ids = pa.array(["1", "2"]).cast(kind) if kind != pa.int16() else pa.array([1, 2], kind)
    pq.write_table(pa.table({"text": ["x", "y"], "id": ids}), tmp_path / "a.parquet")
    items = rows(make_source("a.parquet"), tmp_path)
    assert [str(item.fields["id"]) for item in items if isinstance(item, Record)] == ["1", "2"]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_rows_without_any_of_a_templates_optional_fields_are_records_all_the_same(
    tmp_path: Path, make_source: MakeSource, name: str
) -> None:
    (tmp_path / "t.yaml").write_text("task: t\nfields:\n  a: {optional: true}\n  b: {optional: true}\nphrasings: ['{a}', '{b}']\n")
    write_table(tmp_path / name, pa.table({"other": range(9000)}))
    source = make_source(name, template="t.yaml")
    (piece,) = find_pieces(source, tmp_path, LIMIT)
    items = list(read_piece(source, piece, tmp_path, 1000))
    assert [item.where for item in items] == [f"{name}:{n}" for n in range(1, 9001)]
    assert {item.reason for item in items if isinstance(item, Dropped)} == {"template: field missing"}
    assert all(isinstance(item, Dropped) and "it lacks a, b" in item.detail for item in items)


def test_pieces_of_row_groups_number_their_rows_as_the_whole_file_does(tmp_path: Path, make_source: MakeSource) -> None:
    table = pa.table({"text": [f"{n}" * 200 for n in range(50)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    source = make_source("a.parquet")
    whole = rows(source, tmp_path)
    assert [item.where for item in whole] == [f"a.parquet:{n}" for n in range(1, 51)]
    pieces = find_pieces(source, tmp_path, 1)
    assert len(pieces) == 8
    assert [item for piece in pieces for item in rows(source, tmp_path, piece)] == whole


def test_a_damaged_row_group_costs_its_rows_and_each_of_them_is_counted(tmp_path: Path, make_source: MakeSource) -> None:
    file = tmp_path / "a.parquet"
    table = pa.table({"text": [f"{n} " * 400 for n in range(30)]})
    pq.write_table(
        table, file, row_group_size=10, compression="zstd", use_dictionary=False, write_statistics=False, write_page_checksum=True
    )
    column = pq.read_metadata(file).row_group(1).column(0)
    data = bytearray(file.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 0x01  # one bit
    file.write_bytes(data)
    items = rows(make_source("a.parquet"), tmp_path)
    assert [isinstance(item, Record) for item in items] == [True] * 10 + [False] * 10 + [True] * 10
    assert {item.reason for item in items if isinstance(item, Dropped)} == {"unreadable row group"}
    assert [item.where for item in items] == [f"a.parquet:{n}" for n in range(1, 31)]


def test_a_file_that_is_no_table_is_counted_as_one_record_of_its_size(tmp_path: Path, make_source: MakeSource) -> None:
    for name, read in (("a.parquet", read_parquet), ("a.arrow", read_arrow)):
        file = tmp_path / name
        if name == "a.parquet":
            pq.write_table(pa.table({"text": ["x" * 1000]}), file)
        else:
            file.write_bytes(b"ARROW1" + b"\0" * 300)
        for damaged in (file.read_bytes()[:-100], b"", b"PAR1 this is no table PAR1"):
            file.write_bytes(damaged)
            (item,) = read(reading(make_source(name), tmp_path))
            assert isinstance(item, Dropped)
            assert (item.reason, item.bytes, item.where) == ("unreadable file", len(damaged), name)


def test_a_file_that_is_gone_is_an_error_and_not_damage(tmp_path: Path, make_source: MakeSource) -> None:
    piece = Piece("web", str(tmp_path / "gone.parquet"), "gone.parquet", 0, None, 0)
    with pytest.raises(DataError, match=r"gone\.parquet cannot be read"):
        list(read_parquet(Reading(make_source("gone.parquet"), piece, TextOf(make_source("*"), tmp_path).wanted, LIMIT)))


def test_one_huge_row_group_is_read_in_small_pieces(tmp_path: Path, make_source: MakeSource) -> None:
    count = 8_000
    table = pa.table({"text": [f"{n} " + "x" * 12_000 for n in range(count)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=count, use_dictionary=False)
    whole, before, peak = table.nbytes, pa.total_allocated_bytes(), 0
    for n, record in enumerate(read_parquet(reading(make_source("a.parquet"), tmp_path))):
        assert isinstance(record, Record)
        assert record.fields["text"].startswith(f"{n} ")
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < whole / 2


def test_tables_behind_urls_are_read_in_place(tmp_path: Path, make_source: MakeSource) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    table = pa.table({"text": [f"{n}" for n in range(20)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=5)
    with pa.ipc.new_file(str(tmp_path / "b.arrow"), table.schema) as writer:
        writer.write_table(table)
    store.pipe({f"/tables/{name}": (tmp_path / name).read_bytes() for name in ("a.parquet", "b.arrow")})
    try:
        parquet, arrow = make_source("memory://tables/a.parquet"), make_source("memory://tables/b.arrow")
        pieces = find_pieces(parquet, tmp_path, 1)
        found = [item for piece in pieces for item in rows(parquet, tmp_path, piece)]
        found += read_arrow(reading(arrow, tmp_path))
    finally:
        store.rm("/tables", recursive=True)
    assert len(pieces) == 4
    assert [item.fields["text"] for item in found if isinstance(item, Record)] == [f"{n}" for n in range(20)] * 2
    assert found[-1].where == "memory:///tables/b.arrow:20"


@pytest.mark.parametrize("form", ["file", "stream", "lz4"])
def test_arrow_files_and_streams_are_read(tmp_path: Path, make_source: MakeSource, form: str) -> None:
    table = pa.table({"text": [f"{n}" for n in range(10_000)], "n": range(10_000)})
    options = pa.ipc.IpcWriteOptions(compression="lz4" if form == "lz4" else None)
    new: Any = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
    with new(str(tmp_path / "a.arrow"), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=3000)
    items = list(read_arrow(reading(make_source("a.arrow"), tmp_path)))
    assert items == [Record(f"a.arrow:{n + 1}", {"text": f"{n}"}) for n in range(10_000)]


def test_an_arrow_stream_that_was_cut_short_keeps_its_whole_batches(tmp_path: Path, make_source: MakeSource) -> None:
    file = tmp_path / "a.arrow"
    table = pa.table({"text": ["x" * 100] * 100})
    with pa.ipc.new_stream(str(file), table.schema) as writer:
        writer.write_table(table, max_chunksize=40)
    file.write_bytes(file.read_bytes()[:-1500])
    *good, last = read_arrow(reading(make_source("a.arrow"), tmp_path))
    assert len(good) == 80
    assert isinstance(last, Dropped)
    assert (last.reason, last.where) == ("file cut short", "a.arrow:81")
