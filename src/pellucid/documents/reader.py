"""A source of the recipe → its documents, piece by piece, each with its own account of where it came from."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from re import sub
from shlex import quote

import orjson

from pellucid.core.errors import DataError
from pellucid.documents.document import RAW_BYTES, UNKNOWN_LANGUAGE, UNKNOWN_LICENCE, Document, Dropped
from pellucid.documents.fields import own_metadata
from pellucid.documents.files import InputConfig, file_format
from pellucid.documents.hub_rows import read_shard
from pellucid.documents.pieces import Piece
from pellucid.documents.reading import Reading, Record
from pellucid.documents.records import read_records
from pellucid.documents.streams import packing
from pellucid.documents.texts import TextOf, UnfitError, Wanted
from pellucid.recipe.data import SourceConfig

__all__ = ["CORRUPT", "UNUSABLE", "check_usable", "mending", "read_piece", "read_raw"]

# Reasons that mean a record that cannot be read as what the recipe says it is. `on_corrupt` decides what becomes of them.
CORRUPT = (
    "file cut short",
    "invalid csv",
    "invalid json",
    "lone surrogate",
    "no text",
    "not utf-8",
    "template: field missing",
    "template: field is no text",
    "text is not a string",
    "unreadable file",
    "unreadable row group",
    "unreadable value",
)
# Reasons that mean a broken record, not an unwanted document; when they are the majority, the source is not what the recipe says.
UNUSABLE = (*CORRUPT, "empty text")
_OF_FILES = ("file cut short", "unreadable file")  # faults of a whole file, however many records that has


def read_piece(source: SourceConfig, piece: Piece, base: Path, max_bytes: int, seed: int = 0) -> Iterator[Document | Dropped]:
    """Yield every record of one piece as a `Document`, or as `Dropped` with the reason, in order.

    A record's own id, language, licence (or license) and origin (or url) are kept; the source's stand in for those it lacks. An id
    that is missing becomes FILE:NUMBER (FILE@OFFSET in plain .jsonl; FILE where the file is the record); whether another record has
    the same id is not looked at. Texts are otherwise not touched. Texts of more than `max_bytes` UTF-8 bytes are dropped, and of a
    record of more than twice that and a megabyte nothing is held. `seed` is the recipe's, for templates.

    Raises `DataError` when the file cannot be opened, when a table has not the wanted column, when a network fails, and, where the
    source says `on_corrupt: stop`, at the first record of a reason in `CORRUPT`.
    """
    text_of = TextOf(source, base, seed)
    reading = Reading(source, piece, text_of.wanted, max_bytes)
    whole = file_format(piece.file) in ("txt", "html")
    for record in _records(reading):
        result = record if isinstance(record, Dropped) else _document(source, reading, record, text_of, id_is_name=whole)
        if source.on_corrupt == "stop" and isinstance(result, Dropped) and result.reason in CORRUPT:
            raise DataError(
                f"source {source.name!r}: {result.where} {result.detail}. {mending(result)}, or set on_corrupt: set_aside"
            )
        yield result


def read_raw(source: InputConfig, piece: Piece, max_bytes: int) -> Iterator[Record | Dropped]:
    """Yield every record of one piece with all its fields, in order; as `Dropped` where it cannot be read.

    Of a record of more than twice `max_bytes` and a megabyte nothing is held. Raises `DataError` when the file cannot be opened or
    a network fails.
    """
    yield from _records(Reading(source, piece, Wanted(everything=True), max_bytes))


def _records(reading: Reading) -> Iterator[Record | Dropped]:
    return read_shard(reading) if reading.source.path is None else read_records(reading)


def _document(source: SourceConfig, reading: Reading, record: Record, text_of: TextOf, *, id_is_name: bool) -> Document | Dropped:
    """Return the record as a document, or say why it is none."""
    name = reading.piece.name
    own = own_metadata(record.fields)
    key = own["id"] or (name if id_is_name else record.where)
    language = own["language"] or source.language
    try:
        text = text_of(record.fields, reading.piece.file, key, language)
    except UnfitError as error:
        raw = record.raw[:RAW_BYTES] or _row_bytes(record)
        size = 0 if error.reason == "empty text" else record.bytes or len(raw)
        return Dropped(error.reason, size, record.where, error.detail, raw)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        detail = "holds half of a surrogate pair, which is no text in any encoding"
        return Dropped("lone surrogate", record.bytes, record.where, detail, record.raw[:RAW_BYTES])
    if len(data) > reading.max_bytes:
        return Dropped("longer than max_bytes", len(data), record.where, raw=data[:RAW_BYTES])
    return Document(
        id=key,
        text=text,
        source=source.name,
        language=language or UNKNOWN_LANGUAGE,
        licence=own["licence"] or source.licence or UNKNOWN_LICENCE,
        origin=own["origin"] or name,
        digest=sha256(data).hexdigest(),
        where=record.where,
    )


def _row_bytes(record: Record) -> bytes:
    """Return a row of a table as JSON, to be looked at."""
    try:
        return orjson.dumps(record.fields, default=repr)[:RAW_BYTES]
    except (TypeError, ValueError):
        return repr(record.fields).encode(errors="replace")[:RAW_BYTES]


def check_usable(source: SourceConfig, read: int, dropped: Mapping[str, int], first: Dropped | None) -> None:
    """Raise `DataError` when a source holds no record, or when more than half of its records are unusable.

    `read` counts the records of all its pieces, `dropped` those of them that were dropped, by reason; `first` is the first of them,
    in reading order, whose reason is in `UNUSABLE`. A file that is damaged counts as a record only where nothing else was read.
    """
    if not read:
        place = f"the data set {source.hub!r}, split {source.split!r}" if source.path is None else f"what matches {source.path!r}"
        raise DataError(f"source {source.name!r} is empty: {place} holds no record")
    unusable = {reason: count for reason, count in sorted(dropped.items()) if reason in UNUSABLE and count}
    files = sum(unusable.get(reason, 0) for reason in _OF_FILES)
    records, bad = read - files, sum(unusable.values()) - files
    if first is None or (records and 2 * bad <= records):
        return
    reasons = ", ".join(f"{reason}: {count}" for reason, count in unusable.items())
    raise DataError(
        f"source {source.name!r}: {sum(unusable.values())} of {read} records cannot be used, more than half ({reasons}). "
        f"The first is {first.where}, which {first.detail}. {mending(first)}"
    )


def mending(dropped: Dropped, otherwise: str = "Set text_column to the field that holds the text, or mend the files") -> str:
    """Return what to do about a record that cannot be used, as a sentence without its full stop.

    `otherwise` is said where nothing is wrong with the file, only with what the record holds.
    """
    file = sub(r"[:@]\d+$", "", dropped.where)
    if dropped.reason == "not utf-8" and file_format(file) not in ("parquet", "arrow", None):
        return _conversion(file, wide="UTF-16" in dropped.detail)
    if dropped.reason in (
        "file cut short",
        "unreadable file",
        "unreadable row group",
        "unreadable value",
        "invalid csv",
        "invalid json",
        "not utf-8",
    ):
        return f"Fetch or make {file} again, or leave it out of path"
    if dropped.reason.startswith("template"):
        return "Choose a template whose fields the records have, or mend the files"
    return otherwise


def _conversion(file: str, *, wide: bool) -> str:
    """Return the command that makes a file UTF-8; the most frequent other encoding is named, which only a reader can judge."""
    folder, _, name = file.rpartition("/")
    mended = quote(f"{folder}/utf8.{name}" if folder else f"utf8.{name}")
    convert = f"iconv -f {'UTF-16' if wide else 'WINDOWS-1252'} -t UTF-8"
    kind = packing(file)
    command = f"{convert} {quote(file)} > {mended}"
    if kind is not None:
        tool = {"gzip": "gzip", "zstd": "zstd", "bz2": "bzip2", "xz": "xz"}[kind]
        command = f"{tool} -dc {quote(file)} | {convert} | {tool} > {mended}"
    return f"Convert it (with its real encoding if it is another): {command}"
