import gzip
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import DataError
from pellucid.documents.document import Document, Dropped
from pellucid.documents.pieces import find_pieces
from pellucid.documents.reader import UNUSABLE, check_usable, mending, read_piece, read_raw
from pellucid.recipe.conversations import ConversationConfig
from pellucid.recipe.data import SourceConfig

MakeSource = Callable[..., SourceConfig]
WriteJsonl = Callable[[Path, list[Any]], Path]
LIMIT = 10**9


def read_all(source: SourceConfig, base: Path, max_bytes: int = LIMIT, seed: int = 0) -> list[Document | Dropped]:
    pieces = find_pieces(source, base, LIMIT)
    return [item for piece in pieces for item in read_piece(source, piece, base, max_bytes, seed)]


def judge(source: SourceConfig, base: Path) -> None:
    """Read a source and have it judged as the stage does."""
    items = read_all(source, base)
    dropped = [item for item in items if isinstance(item, Dropped)]
    first = next((item for item in dropped if item.reason in UNUSABLE), None)
    check_usable(source, len(items), Counter(item.reason for item in dropped), first)


def documents(source: SourceConfig, base: Path) -> list[Document]:
    items = read_all(source, base)
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
    items = read_all(make_source("a.jsonl"), tmp_path)
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
    judge(make_source("a.jsonl"), tmp_path)
    write_jsonl(tmp_path / "a.jsonl", [*half, b"{"])
    with pytest.raises(DataError, match=r"2 of 3 records cannot be used, more than half \(invalid json: 1, no text: 1\)") as caught:
        judge(make_source("a.jsonl"), tmp_path)
    assert "a.jsonl@0, which has no field 'text' (its fields: content, url). Set text_column" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_files_without_a_record_are_an_empty_source(tmp_path: Path, make_source: MakeSource, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=r"source 'wiki' is empty: what matches 'a\.jsonl' holds no record"):
        judge(make_source("a.jsonl", name="wiki"), tmp_path)


def test_documents_of_one_byte_and_of_fifty_megabytes_are_documents(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}, {"text": "ü" * 25_000_000}])
    assert [len(document.text) for document in documents(make_source("a.jsonl"), tmp_path)] == [1, 25_000_000]
    short, long = read_all(make_source("a.jsonl"), tmp_path, max_bytes=49_999_999)
    assert isinstance(short, Document)
    assert long == Dropped("longer than max_bytes", 50_000_000, "a.jsonl@13")


LINE = st.one_of(
    st.text(max_size=8).map(lambda text: orjson.dumps({"text": text})),
    st.sampled_from(
        [
            *(b"", b"  ", b"\r", b"{", b"[1]", b"17", b"null", b'{"text": null}', b'{"text": ["a"]}', b'{"text": "\xff"}'),
            *(b'{"id": "same", "text": "a"}', b'{"text": "cr"}\r', b"\xff\xfe", b'{"text": "\\ud800"}', b'{"text": "a\\nb"}'),
        ]
    ),
)


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(LINE, max_size=14), bom=st.booleans(), last=st.booleans())
def test_the_records_of_a_jsonl_are_the_same_however_it_is_cut_and_each_comes_once(
    lines: list[bytes], bom: bool, last: bool
) -> None:
    content = b"\xef\xbb\xbf" * bom + b"\n".join(lines) + b"\n" * last
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "a.jsonl").write_bytes(content)
        source = SourceConfig(name="s", path="a.jsonl", weight=1, category="Web")

        def read(piece_bytes: int) -> list[tuple[Any, ...]]:
            found: list[tuple[Any, ...]] = []
            for piece in find_pieces(source, base, piece_bytes):
                for item in read_piece(source, piece, base, 1000):
                    kind = (item.id, item.text) if isinstance(item, Document) else (item.reason, item.bytes, item.detail, item.raw)
                    found.append((item.where, *kind))
            return found

        whole = read(10**9)
        assert [read(size) for size in (1, 2, 7, 23, 64)] == [whole] * 5
        assert len({where for where, *_ in whole}) == len(whole)
        filled = [line for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
        # A file that begins with UTF-16's mark is wide as a whole; elsewhere each line that is not blank is one record.
        assert len(whole) == len(filled)


def test_pages_are_documents_with_their_names_for_ids(tmp_path: Path, make_source: MakeSource) -> None:
    pytest.importorskip("trafilatura", exc_type=ImportError)
    paragraph = "A long paragraph about the tides, which rise and fall twice a day along this coast. " * 3
    (tmp_path / "a.html").write_text(f"<html><body><article><p>{paragraph}</p></article></body></html>")
    (tmp_path / "b.html").write_text("<html></html>")
    (tmp_path / "c.html").write_bytes(b"<p>\xff</p>")
    document, empty, broken = read_all(make_source("*.html"), tmp_path)
    assert isinstance(document, Document)
    assert (document.id, document.text) == ("a.html", paragraph.strip())
    assert empty == Dropped("html: no text", 13, "b.html", "holds no main text")
    assert isinstance(broken, Dropped)
    assert broken.reason == "not utf-8"


def test_a_corrupt_record_stops_the_stage_where_the_recipe_says_so(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    for bad, message in (
        (
            b"{oops",
            r"a\.jsonl@13 is not JSON\. Fetch or make a\.jsonl again, .*, or set on_corrupt: set_aside",
        ),
        (b'{"text": "\xff"}', r"a\.jsonl@13 is not UTF-8: byte offset 23 \(byte 0xff\)\. Convert it .*iconv"),
        (b'{"txt": "x"}', r"a\.jsonl@13 has no field 'text' \(its fields: txt\)\. Set text_column"),
    ):
        write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}, bad, {"text": ""}])
        with pytest.raises(DataError, match=message):
            read_all(make_source("a.jsonl", on_corrupt="stop"), tmp_path)
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}, {"text": ""}])
    assert len(read_all(make_source("a.jsonl", on_corrupt="stop"), tmp_path)) == 2


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_source_in_another_encoding_is_refused_with_the_command_that_makes_it_utf8(
    tmp_path: Path, make_source: MakeSource, packed: bool, encoding: str
) -> None:
    if shutil.which("iconv") is None:
        pytest.skip("iconv is not installed")
    name = "a file.jsonl.gz" if packed else "a file.jsonl"
    data = "".join(f'{{"text": "Grüße {n}"}}\n' for n in range(20)).encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(DataError, match=r"20 of 20 records cannot be used, more than half \(not utf-8: 20\)") as caught:
        judge(make_source("a*"), tmp_path)
    command = str(caught.value).rpartition("is another): ")[2]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert [document.text for document in documents(make_source(f"utf8.{name}"), tmp_path)] == [f"Grüße {n}" for n in range(20)]


def test_a_source_is_judged_by_its_counts_over_all_pieces(make_source: MakeSource) -> None:
    source = make_source("a.jsonl")
    first = Dropped("invalid json", 5, "a.jsonl@7", "is not JSON")
    check_usable(source, 10, {"invalid json": 3, "empty text": 2, "longer than max_bytes": 5}, first)
    check_usable(source, 10, {"html: no text": 9, "shorter than min_bytes": 1}, None)
    with pytest.raises(DataError, match=r"6 of 10 records cannot be used, more than half \(empty text: 2, invalid json: 4\)"):
        check_usable(source, 10, {"invalid json": 4, "empty text": 2}, first)
    with pytest.raises(DataError, match=r"unreadable file: 1\)\. The first is b\.parquet, which .* Fetch or make b\.parquet again"):
        check_usable(source, 1, {"unreadable file": 1}, Dropped("unreadable file", 9, "b.parquet", "cannot be read"))
    with pytest.raises(DataError, match=r"not utf-8: 1\)\. The first is b\.parquet:3, which .* Fetch or make b\.parquet again"):
        check_usable(source, 1, {"not utf-8": 1}, Dropped("not utf-8", 9, "b.parquet:3", "is not UTF-8"))
    cut = Dropped("file cut short", 0, "a.jsonl.gz:2", "is where the file is cut short")
    check_usable(source, 2, {"file cut short": 1}, cut)
    check_usable(source, 12, {"file cut short": 9, "unreadable file": 1, "empty text": 1}, cut)
    for dropped, message in (
        ({"file cut short": 2}, r"2 of 2 records cannot be used, more than half \(file cut short: 2\)"),
        ({"file cut short": 1, "empty text": 1}, r"2 of 2 records cannot be used, .*\(empty text: 1, file cut short: 1\)"),
    ):
        with pytest.raises(DataError, match=message):
            check_usable(source, 2, dropped, cut)
    missed = Dropped("template: field missing", 9, "a.jsonl@0", "has no field 'q'")
    with pytest.raises(DataError, match=r"has no field 'q'\. Choose a template whose fields the records have"):
        check_usable(source, 1, {"template: field missing": 1}, missed)
    with pytest.raises(DataError, match="the data set 'owner/name', split 'train' holds no record"):
        check_usable(make_source(None, hub="owner/name"), 0, {}, None)
    assert "longer than max_bytes" not in UNUSABLE


def test_the_phrasing_of_a_record_depends_on_seed_source_and_id_alone(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    records = [{"id": f"r{n}", "question": "q", "answer": "a"} for n in range(60)]
    write_jsonl(tmp_path / "a.jsonl", records)
    write_jsonl(tmp_path / "b.jsonl", records[::-1])

    def by_id(path: str, seed: int, name: str = "web") -> dict[str, str]:
        source = make_source(path, name=name, template="open_questions")
        found = read_all(source, tmp_path, seed=seed)
        return {item.id: item.text for item in found if isinstance(item, Document)}

    first = by_id("a.jsonl", 1)
    assert len(set(first.values())) == 3
    assert by_id("b.jsonl", 1) == first
    assert by_id("a.jsonl", 2) != first
    assert by_id("a.jsonl", 1, "other") != first


def test_a_packed_file_with_a_wrong_checksum_gives_its_records_and_is_no_reason_to_refuse_them(
    tmp_path: Path, make_source: MakeSource
) -> None:
    packed = bytearray(gzip.compress(b"".join(b'{"text": "%d"}\n' % n for n in range(1000))))
    packed[-8] ^= 0x01
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    *good, last = read_all(make_source("a.jsonl.gz"), tmp_path)
    assert [item.text for item in good if isinstance(item, Document)] == [str(n) for n in range(1000)]
    assert isinstance(last, Dropped) and last.reason == "file cut short"
    for size in (len(packed) - 4, len(packed) // 2, 12):
        (tmp_path / "a.jsonl.gz").write_bytes(packed[:size])
        if size > 12:
            judge(make_source("a.jsonl.gz"), tmp_path)
    with pytest.raises(DataError, match=r"1 of 1 records cannot be used, more than half \(file cut short: 1\)"):
        judge(make_source("a.jsonl.gz"), tmp_path)


def test_raw_records_come_with_all_their_fields_and_what_is_wrong_with_others(tmp_path: Path, write_jsonl: WriteJsonl) -> None:
    rows = [{"messages": [{"role": "user", "content": "Hi"}], "score": 1.5, "id": 3}, {"messages": None, "score": None, "id": 4}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "talks.parquet")
    write_jsonl(tmp_path / "talks.jsonl", [rows[0], b"{", rows[1]])
    talks = ConversationConfig(name="talks", path="talks.*")
    items = [item for piece in find_pieces(talks, tmp_path, LIMIT) for item in read_raw(talks, piece, LIMIT)]
    found = [item.reason if isinstance(item, Dropped) else item.fields for item in items]
    assert found == [rows[0], "invalid json", rows[1], *rows]
    assert items[-1].where == "talks.parquet:2"


def test_mending_a_file_is_told_from_mending_the_recipe() -> None:
    assert mending(Dropped("not utf-8", 9, "b.jsonl:3", "is not UTF-8")).startswith("Convert it")
    assert mending(Dropped("invalid json", 9, "b.jsonl@3")) == "Fetch or make b.jsonl again, or leave it out of path"
    assert mending(Dropped("no text", 9, "b.jsonl@3"), "Name another shape") == "Name another shape"
