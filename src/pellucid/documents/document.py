"""One document with where it came from, and what takes its place when a record cannot be one."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias

import pyarrow as pa

__all__ = [
    "RAW_BYTES",
    "SCHEMA",
    "UNKNOWN_LANGUAGE",
    "UNKNOWN_LICENCE",
    "Bytes",
    "Document",
    "Dropped",
    "digest_text",
]

UNKNOWN_LANGUAGE = "und"  # ISO 639-2: undetermined
UNKNOWN_LICENCE = "NOASSERTION"  # SPDX
RAW_BYTES = 1 << 16  # of a record that is set aside, this much is kept to be looked at

Bytes: TypeAlias = bytes  # where a field is called bytes

SCHEMA = pa.schema([pa.field(name, pa.string()) for name in ("id", "text", "language", "source", "licence", "origin", "digest")])


@dataclass(frozen=True, slots=True)
class Document:
    """A text and its account; `id` is unique inside its source, `digest` is the sha256 of the UTF-8 text in hexadecimal.

    `where` is the place it was read from (FILE:NUMBER, or FILE@OFFSET in plain .jsonl), which makes an id that was seen before
    unique. It is neither stored nor compared.
    """

    id: str
    text: str
    source: str
    language: str
    licence: str
    origin: str
    digest: str
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that did not become a document. `bytes` counts its text, or the whole record where there is no text.

    `detail` continues the sentence "the record at `where`, which …". Both may quote the record, and can all the same be written as
    UTF-8: half of a surrogate pair in them becomes "?". `raw` is the beginning of the record as it was found, at most `RAW_BYTES`
    of it; empty where nothing could be read.
    """

    reason: str
    bytes: int
    where: str
    detail: str = ""
    raw: Bytes = field(default=b"", compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("where", "detail"):
            said = getattr(self, name)
            if not said.isascii():
                object.__setattr__(self, name, said.encode(errors="replace").decode())


def digest_text(text: str) -> str:
    """Return the sha256 of the text's UTF-8 bytes; raise `UnicodeEncodeError` when it holds a lone surrogate."""
    return sha256(text.encode()).hexdigest()
