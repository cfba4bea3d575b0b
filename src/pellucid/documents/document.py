"""One document with where it came from, and what takes its place when a record cannot be one."""

from dataclasses import dataclass
from hashlib import sha256

import pyarrow as pa

__all__ = ["SCHEMA", "UNKNOWN_LANGUAGE", "UNKNOWN_LICENCE", "Document", "Dropped", "digest_text"]

UNKNOWN_LANGUAGE = "und"  # ISO 639-2: undetermined
UNKNOWN_LICENCE = "NOASSERTION"  # SPDX

SCHEMA = pa.schema([pa.field(name, pa.string()) for name in ("id", "text", "language", "source", "licence", "origin", "digest")])


@dataclass(frozen=True, slots=True)
class Document:
    """A text and its account; `id` is unique inside its source, `digest` is the sha256 of the UTF-8 text in hexadecimal."""

    id: str
    text: str
    source: str
    language: str
    licence: str
    origin: str
    digest: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that did not become a document. `bytes` counts its text, or the whole record where there is no text."""

    reason: str
    bytes: int
    where: str
    detail: str = ""


def digest_text(text: str) -> str:
    """Return the sha256 of the text's UTF-8 bytes; raise `UnicodeEncodeError` when it holds a lone surrogate."""
    return sha256(text.encode()).hexdigest()
