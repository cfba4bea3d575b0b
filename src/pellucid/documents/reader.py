"""A source of the recipe → its documents, in the order of its files, each with an id of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pellucid.core.errors import DataError
from pellucid.documents.document import UNKNOWN_LANGUAGE, UNKNOWN_LICENCE, Document, Dropped, digest_text
from pellucid.documents.files import find_files, shown_name
from pellucid.documents.records import METADATA, Record, read_records
from pellucid.recipe.data import SourceConfig

__all__ = ["UNUSABLE", "read_source"]

# Reasons that mean a broken record, not an unwanted document; when they are the majority, the source is not what the recipe says.
UNUSABLE = ("invalid json", "no text", "empty text", "text is not a string", "lone surrogate")


def read_source(source: SourceConfig, base: Path, max_bytes: int = 2**31 - 1) -> Iterator[Document | Dropped]:
    """Yield every record of a source as a `Document`, or as `Dropped` with the reason; `base` is the recipe's folder.

    A record's own id, language, licence (or license) and origin (or url) are kept; the source's stand in for those it lacks. An id
    that is missing becomes FILE:NUMBER, one that was seen before in this source becomes ID@FILE:NUMBER. Texts are otherwise not
    touched. Documents of more than `max_bytes` UTF-8 bytes are dropped.

    Raises `DataError` when no file matches, when the files hold no record, when a file cannot be read or is not UTF-8, when a
    parquet has no text column, and (at the end) when more than half of the records are unusable.
    """
    ids: set[str] = set()
    records = 0
    unusable: dict[str, int] = {}
    first: Dropped | None = None
    for file in find_files(source, base):
        name = shown_name(file, base)
        for record in read_records(source, file, max_bytes):
            records += 1
            result = record if isinstance(record, Dropped) else _document(source, record, name, max_bytes, ids)
            if isinstance(result, Dropped) and result.reason in UNUSABLE:
                unusable[result.reason] = unusable.get(result.reason, 0) + 1
                first = first or result
            yield result
    if not records:
        raise DataError(f"source {source.name!r} is empty: the files that match {source.path!r} in {base} hold no record")
    if first is not None and 2 * sum(unusable.values()) > records:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(unusable.items()))
        raise DataError(
            f"source {source.name!r}: {sum(unusable.values())} of {records} records cannot be used, more than half ({reasons}). "
            f"The first is {first.where}, which {first.detail}. Set text_column to the field that holds the text, or mend the files"
        )


def _document(source: SourceConfig, record: Record, name: str, max_bytes: int, ids: set[str]) -> Document | Dropped:
    """Return the record as a document and remember its id, or say why it is none."""
    where = f"{name}:{record.number}"
    text = record.fields.get(source.text_column)
    if text is None:
        has = ", ".join(list(record.fields)[:12]) or "none"
        null = f"has null in {source.text_column!r}"
        detail = null if source.text_column in record.fields else f"has no field {source.text_column!r} (its fields: {has})"
        return Dropped("no text", record.bytes, where, detail)
    if not isinstance(text, str):
        return Dropped("text is not a string", record.bytes, where, f"has a {type(text).__name__} in {source.text_column!r}")
    if not text:
        return Dropped("empty text", 0, where, f"has an empty {source.text_column!r}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return Dropped("lone surrogate", record.bytes, where, "holds half of a surrogate pair, which is no text in any encoding")
    if size > max_bytes:
        return Dropped("longer than max_bytes", size, where)
    own = {key: _own(record.fields, names) for key, names in METADATA.items()}
    return Document(
        id=_unique(own["id"], name, where, ids),
        text=text,
        source=source.name,
        language=own["language"] or source.language or UNKNOWN_LANGUAGE,
        licence=own["licence"] or source.licence or UNKNOWN_LICENCE,
        origin=own["origin"] or name,
        digest=digest_text(text),
    )


def _own(fields: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """Return what the record says under the first of these names that holds a string or whole number fit to be stored."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
            return str(value).encode(errors="replace").decode()
    return None


def _unique(own: str | None, name: str, where: str, ids: set[str]) -> str:
    candidate = own or (name if name.lower().endswith(".txt") else where)
    while candidate in ids:
        candidate = f"{candidate}@{where}"
    ids.add(candidate)
    return candidate
