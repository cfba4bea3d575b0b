"""Readers: a piece of a file → raw records, one format each. What cannot be read comes out as `Dropped`, in its place."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import orjson

from pellucid.core.errors import DataError
from pellucid.documents.document import RAW_BYTES, Dropped
from pellucid.documents.fields import root_of
from pellucid.documents.files import file_format
from pellucid.documents.lines import Span, json_values, lines
from pellucid.documents.reading import Reading, Record
from pellucid.documents.streams import CutShortError, chunks, packing
from pellucid.documents.tables import read_arrow, read_parquet

__all__ = ["read_records"]

_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_CHARSET = re.compile(rb"""<meta[^>]{0,512}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)


def read_records(reading: Reading) -> Iterator[Record | Dropped]:
    """Yield the records of one piece in order, `Dropped` where one cannot be read.

    Raises `DataError` when the file cannot be opened, or when a table has not the wanted columns.
    """
    readers: dict[str, Callable[[Reading], Iterator[Record | Dropped]]] = {
        "txt": _read_whole,
        "html": _read_whole,
        "jsonl": _read_jsonl,
        "json": _read_json,
        "csv": _read_csv,
        "parquet": read_parquet,
        "arrow": read_arrow,
    }
    yield from readers[file_format(reading.piece.file) or ""](reading)


def _read_whole(reading: Reading) -> Iterator[Record | Dropped]:
    """A file is a record."""
    piece, parts, size = reading.piece, [], 0
    if packing(piece.file) is None and piece.bytes > reading.limit:  # a size that is known makes reading needless
        yield Dropped("longer than max_bytes", piece.bytes, piece.name)
        return
    try:
        for part in chunks(piece.file):
            size += len(part)
            if size <= reading.limit:
                parts.append(part)
    except CutShortError as error:
        yield _cut_short(piece.name, size, b"".join(parts)[:RAW_BYTES], error)
        return
    data = b"".join(parts)
    if size > reading.limit:
        yield Dropped("longer than max_bytes", size, piece.name, raw=data[:RAW_BYTES])
        return
    try:
        text = _decode_page(data) if file_format(piece.file) == "html" else data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        yield _not_utf8(Span(0, size, data), piece.name, error, wide=data.startswith(_WIDE))
    else:
        yield Record(piece.name, {reading.wanted.whole: text}, size, data)


def _decode_page(data: bytes) -> str:
    """Decode a page as UTF-8, or else as it says that it is to be decoded; the web's Latin-1 is Windows-1252 (HTML standard)."""
    try:
        return data.removeprefix(_BOM).decode()
    except UnicodeDecodeError:
        if data.startswith(_WIDE[:2]):
            return data.decode("utf-16")
        declared = _CHARSET.search(data, 0, 4096)
        name = declared[1].decode().lower() if declared else "utf-8"
        try:
            return data.decode("cp1252" if name in ("iso-8859-1", "latin1", "us-ascii") else name)
        except UnicodeDecodeError:
            raise
        except (LookupError, UnicodeError):  # Python's "undefined" and "idna" raise the latter
            raise UnicodeDecodeError(name, data[:1], 0, 1, "no such encoding") from None


def _read_jsonl(reading: Reading) -> Iterator[Record | Dropped]:
    """A line is a record, known by its offset where the file is plain, so that pieces need not count each other's lines."""
    piece, plain = reading.piece, packing(reading.piece.file) is None
    wide = _is_wide(piece.file)
    parts, begin = chunks(piece.file, max(0, piece.start - 1)), piece.start
    if piece.start:  # the byte before tells whether a line begins at `start`
        parts, begin = _after_line(parts, piece.start - 1)
    spans = lines(parts, reading.limit, begin)
    number = 0
    with _cut_short_is_kept(reading) as cut:
        for span in spans:
            if piece.stop is not None and span.offset >= piece.stop:
                return
            number += 1
            where = f"{piece.name}@{span.offset}" if plain else reading.where(number)
            yield from _record(span, where, wide=wide)
    yield from cut.dropped(number + 1)


def _after_line(parts: Iterator[bytes], offset: int) -> tuple[Iterator[bytes], int]:
    """Return what follows the first line feed, and its offset, holding nothing of what comes before."""
    for part in parts:
        end = part.find(b"\n") + 1
        if end:
            return chain([part[end:]], parts), offset + end
        offset += len(part)
    return iter(()), offset


def _read_json(reading: Reading) -> Iterator[Record | Dropped]:
    """An element of an array is a record, or a value of those that stand one after the other; many such files are lines."""
    file = reading.piece.file
    wide = _is_wide(file)
    spans = lines(chunks(file), reading.limit) if wide or _is_lines(reading) else json_values(chunks(file), reading.limit)
    number = 0
    with _cut_short_is_kept(reading) as cut:
        for number, span in enumerate(spans, start=1):
            yield from _record(span, reading.where(number), wide=wide)
    yield from cut.dropped(number + 1)


def _record(span: Span, where: str, *, wide: bool = False) -> Iterator[Record | Dropped]:
    """Yield what a line or value of JSON is: a record, a drop, or nothing where it is blank."""
    content = span.data if span.offset else span.data.removeprefix(_BOM)
    if span.cut:
        yield Dropped("longer than max_bytes", span.size, where, "is longer than any text of that size needs", content)
        return
    if wide:
        if content.strip(b"\0\r \t\n"):
            error = UnicodeDecodeError("utf-8", content[:1] or b"\xff", 0, 1, "UTF-16")
            yield _not_utf8(span, where, error, wide=True)
        return
    try:
        value = _parse(content)
    except UnicodeDecodeError as error:
        yield _not_utf8(span, where, error)
    except (ValueError, RecursionError):
        if content.strip():
            yield Dropped("invalid json", span.size, where, "is not JSON", content[:RAW_BYTES])
    else:
        if isinstance(value, dict):
            yield Record(where, value, span.size, span.data)
        else:
            yield Dropped("invalid json", span.size, where, "is JSON but not an object", content[:RAW_BYTES])


def _parse(line: bytes) -> Any:
    """Parse strictly and fast; then as Python's own parser would, which takes NaN and lone surrogates."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line.decode())


def _is_lines(reading: Reading) -> bool:
    """Tell whether a .json file holds lines: it begins with an object that ends where its line does."""
    parts = chunks(reading.piece.file)
    try:
        head = next(parts, b"")
        if not head.removeprefix(_BOM).lstrip().startswith(b"{"):
            return False
        first = next(lines(chain([head], parts), reading.limit))
        _parse(first.data.removeprefix(_BOM))
    except (ValueError, RecursionError, CutShortError):
        return False
    return not first.cut


def _is_wide(file: str) -> bool:
    """Tell whether a file begins with the byte order mark of UTF-16 or UTF-32."""
    try:
        return next(chunks(file, size=4), b"").startswith(_WIDE)
    except CutShortError:
        return False


class _Cut:
    """What is left to say after a stream that was cut short."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.error: CutShortError | None = None

    def dropped(self, number: int) -> Iterator[Record | Dropped]:
        """Yield the last record when it is whole all the same, and that the file ends there."""
        if self.error is None:
            return
        where = self._reading.where(number)
        span = Span(self.error.offset, self.error.size, self.error.rest)
        whole = [item for item in _record(span, where) if isinstance(item, Record)]
        yield from whole
        yield _cut_short(where, 0 if whole else span.size, b"" if whole else span.data[:RAW_BYTES], self.error)


@contextmanager
def _cut_short_is_kept(reading: Reading) -> Iterator[_Cut]:
    cut = _Cut(reading)
    try:
        yield cut
    except CutShortError as error:
        cut.error = error


def _cut_short(where: str, size: int, raw: bytes, error: CutShortError) -> Dropped:
    return Dropped("file cut short", size, where, f"is where the file is cut short or damaged ({error}); more may be lost", raw)


def _not_utf8(span: Span, where: str, error: UnicodeDecodeError, *, wide: bool = False) -> Dropped:
    """Return the drop for bytes that are not UTF-8. The offset counts from the beginning of the (unpacked) file."""
    at = span.offset + error.start + (len(_BOM) if not span.offset and span.data.startswith(_BOM) else 0)
    detail = f"is not UTF-8 but UTF-16: byte offset {at}" if wide else f"is not UTF-8: byte offset {at}"
    return Dropped("not utf-8", span.size, where, f"{detail} (byte 0x{error.object[error.start]:02x})", span.data[:RAW_BYTES])


def _read_csv(reading: Reading) -> Iterator[Record | Dropped]:
    """A row is a record, its fields named by the first row; rows are numbered from 1, without that one."""
    piece = reading.piece
    csv.field_size_limit(reading.limit)
    feed = _CsvLines(reading)
    # strict, because otherwise a quote that is not closed makes one good record of all that follows it.
    rows = csv.reader(feed, delimiter="\t" if ".tsv" in piece.file.lower() else ",", strict=True)
    header: list[str] | None = None
    number = 0
    with _cut_short_is_kept(reading) as cut:
        while True:
            feed.begin_row()
            try:
                row = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                number += 1
                reason = "longer than max_bytes" if "field limit" in str(error) else "invalid csv"
                yield Dropped(reason, feed.size, reading.where(number), f"is not CSV ({error}): {feed.extent}", feed.raw)
                continue
            if not row and not feed.is_cut:
                continue
            if header is None and not feed.is_cut:
                header = _csv_header(reading, row)
                continue
            number += 1
            yield _csv_row(header or [], row, reading.where(number), feed)
    if cut.error is not None:
        yield _cut_short(reading.where(number + 1), feed.size + cut.error.size, cut.error.rest[:RAW_BYTES], cut.error)


class _CsvLines:
    """Lines of text for the parser, bytes that are not UTF-8 kept as surrogates, with an account of those it took for one row."""

    def __init__(self, reading: Reading) -> None:
        self._spans = lines(chunks(reading.piece.file), reading.limit)
        self._line = 0
        self.begin_row()

    def begin_row(self) -> None:
        """Begin the account of the next row."""
        self.size = 0
        self.raw = b""
        self.is_cut = False
        self._before = self._line

    @property
    def extent(self) -> str:
        """Return which lines of the file the parser took for one row, from 1, and what that can come from."""
        if self._line - self._before < 2:
            return f"line {self._line}"
        return f"lines {self._before + 1} to {self._line}, all {self._line - self._before} of which one open quote takes for a row"

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        span = next(self._spans)
        self._line += 1
        self.raw = span.data[:RAW_BYTES] if not self.size else self.raw
        self.size += span.size
        if span.cut:
            self.is_cut = True
            return "\n"
        data = span.data if span.offset else span.data.removeprefix(_BOM)
        return data.decode(errors="surrogateescape") + "\n"


def _csv_header(reading: Reading, row: list[str]) -> list[str]:
    missing = [name for name in reading.wanted.required if root_of(name, row) not in row]
    if missing:
        raise DataError(reading.wanted.missing(reading.source, reading.piece.file, missing[0], dict.fromkeys(row, "string")))
    return row


def _csv_row(header: list[str], row: list[str], where: str, feed: _CsvLines) -> Record | Dropped:
    if feed.is_cut:
        return Dropped("longer than max_bytes", feed.size, where, "is longer than any text of that size needs", feed.raw)
    if len(row) != len(header):
        detail = f"has {len(row)} fields where the header has {len(header)}"
        return Dropped("invalid csv", feed.size, where, detail, feed.raw)
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return Dropped("not utf-8", feed.size, where, "is not UTF-8", feed.raw)
    return Record(where, dict(zip(header, row, strict=True)), feed.size, feed.raw)
