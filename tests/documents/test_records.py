import bz2
import gzip
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from pellucid.core.errors import DataError
from pellucid.documents.document import RAW_BYTES, Dropped
from pellucid.documents.pieces import find_pieces
from pellucid.documents.reading import Reading, Record
from pellucid.documents.records import read_records
from pellucid.documents.texts import TextOf
from pellucid.recipe.data import SourceConfig

MakeSource = Callable[..., SourceConfig]
WriteJsonl = Callable[[Path, list[Any]], Path]
Item = Record | Dropped
LIMIT = 10**9
PACKERS = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.fixture
def read(tmp_path: Path, make_source: MakeSource) -> Callable[..., list[Item]]:
    """Write a file and return its records, over all pieces of the given size."""

    def run(name: str, content: bytes, max_bytes: int = LIMIT, piece_bytes: int = LIMIT, **fields: Any) -> list[Item]:
        (tmp_path / name).write_bytes(content)
        source = make_source(name, **fields)
        wanted = TextOf(source, tmp_path).wanted
        pieces = find_pieces(source, tmp_path, piece_bytes)
        return [item for piece in pieces for item in read_records(Reading(source, piece, wanted, max_bytes))]

    return run


Read = Callable[..., list[Item]]


def drops(items: list[Item]) -> list[tuple[str, int, str]]:
    return [(item.reason, item.bytes, item.where) for item in items if isinstance(item, Dropped)]


def texts(items: list[Item]) -> list[Any]:
    return [item.fields["text"] for item in items if isinstance(item, Record)]


def test_a_text_file_is_one_record_with_its_line_ends_kept_and_its_byte_order_mark_gone(read: Read) -> None:
    content = b"\xef\xbb\xbfone\r\ntwo\n"
    assert read("a.txt", content) == [Record("a.txt", {"text": "one\r\ntwo\n"}, 12)]
    assert read("a.md.gz", gzip.compress(content)) == [Record("a.md.gz", {"text": "one\r\ntwo\n"}, 12)]


def test_a_text_file_over_the_limit_is_not_even_read(tmp_path: Path, make_source: MakeSource) -> None:
    with (tmp_path / "a.txt").open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: a terabyte that nobody could hold
    source = make_source("a.txt")
    (piece,) = find_pieces(source, tmp_path, LIMIT)
    (item,) = read_records(Reading(source, piece, TextOf(source, tmp_path).wanted, LIMIT))
    assert item == Dropped("longer than max_bytes", 1 << 40, "a.txt")


def test_a_packed_text_file_is_unpacked_up_to_the_limit_only(read: Read) -> None:
    (item,) = read("a.txt.gz", gzip.compress(b"x" * 5_000_000, 1), 1000)
    assert (item.where, item.bytes) == ("a.txt.gz", 5_000_000)
    assert isinstance(item, Dropped)
    assert len(item.raw) <= RAW_BYTES


def test_lines_that_are_no_json_object_are_dropped_and_empty_lines_are_no_records(read: Read) -> None:
    items = read("a.jsonl", b'\xef\xbb\xbf{"text": "first"}\n\n{oops\n[1]\n  \r\n{"text": "last"}')
    assert texts(items) == ["first", "last"]
    assert [item.where for item in items] == ["a.jsonl@0", "a.jsonl@22", "a.jsonl@28", "a.jsonl@36"]
    assert drops(items) == [("invalid json", 6, "a.jsonl@22"), ("invalid json", 4, "a.jsonl@28")]
    assert [item.raw for item in items if isinstance(item, Dropped)] == [b"{oops", b"[1]"]


def test_lines_of_a_packed_file_are_numbered_as_an_editor_numbers_them(read: Read) -> None:
    items = read("a.jsonl.gz", gzip.compress(b'{"text": "first"}\n\n{oops\n{"text": "last"}\n'))
    assert [item.where for item in items] == ["a.jsonl.gz:1", "a.jsonl.gz:3", "a.jsonl.gz:4"]


def test_json_that_only_python_takes_is_read_and_endless_nesting_is_not(read: Read) -> None:
    good, bad = read("a.jsonl", b'{"text": "good", "score": NaN}\n{"text": ' + b"[" * 200_000)
    assert isinstance(good, Record)
    assert good.fields["text"] == "good"
    assert isinstance(bad, Dropped)


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_that_is_not_utf8_is_dropped_with_the_byte_and_its_place(read: Read, packed: bool) -> None:
    data = orjson.dumps({"text": "Grüße"}) + b"\n" + '{"text": "Grüße"}'.encode("latin-1")
    items = read("a.jsonl.gz" if packed else "a.jsonl", gzip.compress(data) if packed else data)
    assert texts(items) == ["Grüße"]
    (dropped,) = (item for item in items if isinstance(item, Dropped))
    assert (dropped.reason, dropped.bytes) == ("not utf-8", 17)
    assert dropped.detail == f"is not UTF-8: byte offset {data.index(0xFC)} (byte 0xfc)"
    assert dropped.raw == '{"text": "Grüße"}'.encode("latin-1")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.txt"])
def test_every_line_of_a_file_in_utf16_is_dropped_as_such(read: Read, encoding: str, name: str) -> None:
    data = "".join('{"text": "plain"}\n' for _ in range(40)).encode(encoding)
    items = read(name, gzip.compress(data) if name.endswith("gz") else data, piece_bytes=100)
    assert {item.reason for item in items if isinstance(item, Dropped)} == {"not utf-8"}
    assert len(items) == (1 if name == "a.txt" else 40)
    assert all(isinstance(item, Dropped) and "UTF-16" in item.detail for item in items)


@pytest.mark.parametrize("ending", PACKERS)
def test_of_a_packed_file_that_was_cut_short_the_records_before_are_kept_and_the_end_is_counted(read: Read, ending: str) -> None:
    lines = [orjson.dumps({"text": f"{n * n * 7919 % 1_000_003}"}) for n in range(30_000)]
    pack = PACKERS[ending] if ending != ".bz2" else lambda data: bz2.compress(data, 1)
    packed = pack(b"\n".join(lines))
    items = read(f"a.jsonl{ending}", packed[: len(packed) * 2 // 3])
    *good, last = items
    assert texts(items) == [orjson.loads(line)["text"] for line in lines[: len(good)]]
    assert len(good) > 5_000
    assert isinstance(last, Dropped)
    assert (last.reason, last.where) == ("file cut short", f"a.jsonl{ending}:{len(good) + 1}")
    assert lines[len(good)].startswith(last.raw)


def test_a_file_cut_between_two_records_loses_neither(read: Read) -> None:
    data = gzip.compress(b'{"text": "one"}\n{"text": "two"}')
    items = read("a.jsonl.gz", data[:-8])  # without checksum and length
    assert texts(items) == ["one", "two"]
    assert drops(items) == [("file cut short", 0, "a.jsonl.gz:2")]


@pytest.mark.parametrize("count", [3, 1000])
def test_a_checksum_that_is_wrong_at_the_end_costs_no_record(read: Read, count: int) -> None:
    packed = bytearray(gzip.compress(b"".join(b'{"text": "%d"}\n' % n for n in range(count))))
    packed[-8] ^= 0x01
    items = read("a.jsonl.gz", bytes(packed))
    assert texts(items) == [str(n) for n in range(count)]
    assert drops(items) == [("file cut short", 0, f"a.jsonl.gz:{count + 1}")]
    rows = bytearray(gzip.compress(b"text\n" + b"".join(b"%d\n" % n for n in range(count))))
    rows[-8] ^= 0x01
    items = read("a.csv.gz", bytes(rows))
    assert texts(items) == [str(n) for n in range(count)]
    assert drops(items) == [("file cut short", 0, f"a.csv.gz:{count + 1}")]


def test_a_line_that_is_longer_than_any_text_of_the_limit_is_counted_with_its_size(read: Read) -> None:
    long = orjson.dumps({"text": "x" * 3_000_000})
    items = read("a.jsonl", long + b'\n{"text": "next"}\n', 1000)
    assert texts(items) == ["next"]
    assert drops(items) == [("longer than max_bytes", len(long) + 1, "a.jsonl@0")]
    assert drops(read("a.json", b"[" + long + b', {"text": "next"}]', 1000)) == [("longer than max_bytes", len(long), "a.json:1")]


@pytest.mark.parametrize(
    "content",
    [
        b'[{"text": "a"}, {"text": "b"}]',
        b'\xef\xbb\xbf [\n  {\n    "text": "a"\n  },\n  {"text": "b"}\n]\n',
        b'{"text": "a"}\n{"text": "b"}\n',
        b'{\n "text": "a"\n}\n{\n "text": "b"\n}',
    ],
)
def test_a_json_file_is_an_array_or_values_or_lines(read: Read, content: bytes) -> None:
    items = read("a.json", content)
    assert texts(items) == ["a", "b"]
    assert [item.where for item in items] == ["a.json:1", "a.json:2"]
    assert texts(read("a.json.zst", zstandard.compress(content))) == ["a", "b"]


def test_broken_elements_of_a_json_array_are_dropped_and_an_open_end_is_counted(read: Read) -> None:
    items = read("a.json", b'[{"text": "a"}, {text: 1}, 17, {"text": "b"}, {"text": "\xff"}, {"text": "c"')
    assert texts(items) == ["a", "b"]
    assert [reason for reason, _, _ in drops(items)] == ["invalid json", "invalid json", "not utf-8", "file cut short"]
    assert drops(items)[-1] == ("file cut short", 13, "a.json:6")


def test_rows_of_csv_are_records_with_quotes_line_ends_and_stray_quotes(read: Read) -> None:
    content = b'\xef\xbb\xbfid,text\r\n1,"one, ""two""\nthree"\r\n\r\n2,5" disk\r\n3\r\n4,a,b\r\n5,caf\xe9\r\n6,last'
    items = read("a.csv", content)
    assert [(item.where, item.fields) for item in items if isinstance(item, Record)] == [
        ("a.csv:1", {"id": "1", "text": 'one, "two"\nthree'}),
        ("a.csv:2", {"id": "2", "text": '5" disk'}),
        ("a.csv:6", {"id": "6", "text": "last"}),
    ]
    assert [(reason, where) for reason, _, where in drops(items)] == [
        ("invalid csv", "a.csv:3"),
        ("invalid csv", "a.csv:4"),
        ("not utf-8", "a.csv:5"),
    ]
    tabs = read("a.tsv.gz", gzip.compress(b"text\tn\nx, y\t1\n"))
    assert [item.fields for item in tabs if isinstance(item, Record)] == [{"text": "x, y", "n": "1"}]


def test_a_quote_that_is_not_closed_costs_the_lines_it_takes_and_says_which(read: Read) -> None:
    rows = [b"%d,row %d\n" % (n, n) for n in range(1000)]
    rows[500] = b'500,"row 500\n'
    *good, last = read("a.csv", b"id,text\n" + b"".join(rows))
    assert texts(good) == [f"row {n}" for n in range(500)]
    assert isinstance(last, Dropped)
    assert (last.reason, last.bytes, last.where) == ("invalid csv", sum(map(len, rows[500:])), "a.csv:501")
    assert "unexpected end of data" in last.detail and "lines 502 to 1001, all 500 of which" in last.detail
    rows[600] = b'600,"closed"\n'
    items = read("a.csv", b"id,text\n" + b"".join(rows))
    assert texts(items) == [f"row {n}" for n in (*range(500), *range(601, 1000))]
    assert drops(items) == [("invalid csv", sum(map(len, rows[500:601])), "a.csv:501")]


def test_csv_fields_may_be_as_long_as_a_text_and_no_longer(read: Read) -> None:
    long = b"x" * 3_000_000
    content = b'text\n"' + long + b'"\nnext\n'
    assert [len(text) for text in texts(read("a.csv", content))] == [3_000_000, 4]
    items = read("a.csv", content, 1000)
    assert texts(items) == ["next"]
    assert drops(items) == [("longer than max_bytes", 3_000_003, "a.csv:1")]


def test_a_csv_without_the_text_column_lists_what_it_has(read: Read) -> None:
    with pytest.raises(DataError, match=r"text_column is 'text', but .*a\.csv, which has no such column, has the columns id \("):
        read("a.csv", b"id,body\n1,x\n")
    assert read("a.csv", b"") == []


def test_a_csv_cut_short_keeps_the_rows_before(read: Read) -> None:
    data = gzip.compress(b"text\n" + b"".join(b"row %d\n" % (n * n) for n in range(20_000)))
    *good, last = read("a.csv.gz", data[: len(data) // 2])
    assert len(good) > 5_000
    assert isinstance(last, Dropped)
    assert last.reason == "file cut short"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<p>Grüße</p>".encode(), "<p>Grüße</p>"),
        ("<meta charset=iso-8859-1><p>Grüße – “x”</p>".encode("cp1252"), "<meta charset=iso-8859-1><p>Grüße – “x”</p>"),
        (
            '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r"><p>мир</p>'.encode("koi8-r"),
            '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r"><p>мир</p>',
        ),
        ("<p>Grüße</p>".encode("utf-16"), "<p>Grüße</p>"),
    ],
)
def test_a_page_is_decoded_as_it_says(read: Read, content: bytes, text: str) -> None:
    assert texts(read("a.html", content)) == [text]


@pytest.mark.parametrize(
    "content",
    [
        *(b"<p>\xfc</p>", b"<meta charset=no-such-code>\xfc", b"<meta charset=utf-8>\xfc"),
        *(b"<meta charset=undefined>\xfc", b"<meta charset=idna>\xfc", b"<meta charset=punycode>\xfc", b"<meta charset=rot13>\xfc"),
    ],
)
def test_a_page_whose_encoding_is_not_to_be_had_is_dropped(read: Read, content: bytes) -> None:
    assert drops(read("a.htm", content)) == [("not utf-8", len(content), "a.htm")]


def test_files_behind_urls_are_read_in_ranges(tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    content = write_jsonl(tmp_path / "a.jsonl", [{"text": f"{n}"} for n in range(100)]).read_bytes()
    store.pipe({"/records/a.jsonl": content, "/records/b.jsonl.gz": gzip.compress(content)})
    source = make_source("memory://records")
    wanted = TextOf(source, tmp_path).wanted
    try:
        pieces = find_pieces(source, tmp_path, 150)
        items = [item for piece in pieces for item in read_records(Reading(source, piece, wanted, LIMIT))]
    finally:
        store.rm("/records", recursive=True)
    assert len(pieces) > 5
    assert texts(items) == [f"{n}" for n in range(100)] * 2
    assert items[1].where == "memory:///records/a.jsonl@13"


def test_a_file_that_vanishes_is_an_error_and_not_an_empty_source(tmp_path: Path, make_source: MakeSource) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.jsonl").write_bytes(b"{}")
    source = make_source("d/*")
    (piece,) = find_pieces(source, tmp_path, LIMIT)
    shutil.rmtree(tmp_path / "d")
    with pytest.raises(DataError, match=r"a\.jsonl cannot be read .* Make it readable"):
        list(read_records(Reading(source, piece, TextOf(source, tmp_path).wanted, LIMIT)))
