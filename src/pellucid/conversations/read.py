"""First pass, one piece of a source: raw records → conversations and pairs that are fit, in chunks on the disk."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson

from pellucid.conversations.filters import sift
from pellucid.conversations.funnel import Drops
from pellucid.conversations.self_knowledge import fold
from pellucid.conversations.shapes import Candidate, ReadShape, Shape, tell_shape
from pellucid.conversations.turns import Messages, UnfitError
from pellucid.core.errors import DataError
from pellucid.core.excerpt import one_line
from pellucid.core.seeds import heldout
from pellucid.documents.document import UNKNOWN_LANGUAGE, UNKNOWN_LICENCE, Dropped
from pellucid.documents.fields import own_metadata
from pellucid.documents.files import file_format
from pellucid.documents.pieces import Piece, find_pieces
from pellucid.documents.reader import CORRUPT, mending, read_raw
from pellucid.documents.reading import Record
from pellucid.recipe.conversations import ConversationConfig

__all__ = [
    "DIGEST_BYTES",
    "UNUSABLE",
    "Chunk",
    "Found",
    "Kept",
    "ReadTask",
    "find_source",
    "question_digest",
    "read_chunk",
    "read_piece",
]

UNUSABLE = (*CORRUPT, "not of its shape", "content is not text", "unknown role")
"""Reasons that mean a record that is not what the recipe says; when they are the majority, the source is another."""

DIGEST_BYTES = 16
_CHUNK_EXAMPLES = 1024
_BEGINNING_CHARS = 160


@dataclass(frozen=True)
class Found:
    """A source before it is read: its pieces in reading order, and the shape of its records."""

    source: ConversationConfig
    pieces: tuple[Piece, ...]
    shape: Shape

    @property
    def is_pairs(self) -> bool:
        """Whether the source holds preference pairs."""
        return self.shape == "pairs"


@dataclass(frozen=True)
class ReadTask:
    """One piece to read, and where its chunks go."""

    found: Found
    piece: Piece
    max_bytes: int
    chunks: Path

    def __str__(self) -> str:
        return f"source {self.found.source.name}, {self.piece.name}"


@dataclass(frozen=True)
class Chunk:
    """Examples in a file, its size, and of each in a row: digests of its messages and of its question, 1 where held out else 0.

    `heldout` is what the source by itself holds out, by the digest of the question; other sources may hold out more of it.
    """

    file: Path
    size_bytes: int
    digests: bytes
    questions: bytes
    heldout: bytes

    @property
    def examples(self) -> int:
        """How many examples the file holds."""
        return len(self.heldout)

    def digest(self, row: int) -> bytes:
        """Return the digest of an example's messages, those of both sides of a pair."""
        return self.digests[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]

    def question(self, row: int) -> bytes:
        """Return the digest of what an example's user asked first."""
        return self.questions[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]


@dataclass
class Kept:
    """What one piece gave."""

    read: int = 0
    drops: Drops = field(default_factory=Drops)
    edits: Counter[str] = field(default_factory=Counter)
    first_unusable: Dropped | None = None
    chunks: list[Chunk] = field(default_factory=list)


def find_source(source: ConversationConfig, base: Path, piece_bytes: int, max_bytes: int) -> Found:
    """Return a source's pieces, and its shape as the recipe or the first record that can be read tells it.

    Raises `DataError` as `find_pieces` does, for files that are texts, and when no record can be read or its shape is not known.
    """
    pieces = tuple(find_pieces(source, base, piece_bytes))
    for piece in pieces:
        if source.path is not None and file_format(piece.file) in ("txt", "html"):
            raise DataError(
                f"source {source.name!r}: {piece.file} is a text; conversations are records of .jsonl, .json, .csv, .parquet or "
                ".arrow files. Narrow path to these"
            )
    records = chain.from_iterable(read_raw(source, piece, max_bytes) for piece in pieces)
    first: Dropped | None = None
    for record in records:
        if isinstance(record, Record):
            return Found(source, pieces, ReadShape(source, tell_shape(source, record.fields, record.where)).shape)
        first = first or record
    if first is None:
        place = f"the data set {source.hub!r}, split {source.split!r}" if source.path is None else f"what matches {source.path!r}"
        raise DataError(f"source {source.name!r} is empty: {place} holds no record")
    raise DataError(
        f"source {source.name!r}: none of its records can be read. The first is {first.where}, which {first.detail}. "
        f"{mending(first)}"
    )


def read_piece(task: ReadTask) -> Kept:
    """Read one piece; write the examples that are fit into chunks, in order, and count everything else."""
    kept = Kept()
    examples = _examples(task, kept)
    for number in range(1 << 30):
        rows = list(islice(examples, _CHUNK_EXAMPLES))
        if not rows:
            break
        file = task.chunks.with_name(f"{task.chunks.name}-{number:05d}.jsonl")
        file.parent.mkdir(parents=True, exist_ok=True)
        lines, digests, questions, heldout_rows = zip(*rows, strict=True)
        data = b"".join(lines)
        file.write_bytes(data)
        kept.chunks.append(Chunk(file, len(data), b"".join(digests), b"".join(questions), bytes(heldout_rows)))
    return kept


def _examples(task: ReadTask, kept: Kept) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Yield line, digest, digest of the question and whether that is held out, of each example that is fit."""
    source = task.found.source
    reads = ReadShape(source, task.found.shape)
    for record in read_raw(source, task.piece, task.max_bytes):
        kept.read += 1
        if isinstance(record, Dropped):
            _drop(kept, record, record.raw)
            continue
        try:
            candidate, edits = sift(reads(record.fields), source)
            line = _line(candidate, _about(source, task.piece, record, candidate.messages))
        except UnfitError as error:
            raw = record.raw or orjson.dumps(record.fields, default=repr) if kept.drops.is_new(error.reason) else b""
            _drop(kept, Dropped(error.reason, 0, record.where, error.detail), raw)
            continue
        kept.edits.update(edits)
        said = candidate.messages if candidate.rejected is None else [candidate.messages, candidate.rejected]
        question = question_digest(candidate.messages)
        yield line, _digest(said), question, heldout(question.hex(), source.heldout_frac)


def _drop(kept: Kept, dropped: Dropped, raw: bytes) -> None:
    if dropped.reason in UNUSABLE and kept.first_unusable is None:
        kept.first_unusable = dropped
    kept.drops.add(dropped.reason, dropped.where, dropped.detail, one_line(raw.decode(errors="replace"), _BEGINNING_CHARS))


def _about(source: ConversationConfig, piece: Piece, record: Record, messages: Messages) -> dict[str, Any]:
    """Return what is known of an example: `id` is where it was read from, `record_id` what the record calls itself."""
    own = own_metadata(record.fields)
    return {
        "id": record.where,
        **({"record_id": own["id"]} if own["id"] else {}),
        "language": own["language"] or source.language or UNKNOWN_LANGUAGE,
        "licence": own["licence"] or source.licence or UNKNOWN_LICENCE,
        "origin": own["origin"] or piece.name,
        "turns": sum(one["role"] != "system" for one in messages),
    }


def _line(candidate: Candidate, about: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps([*vars(candidate).values(), about], option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        raise UnfitError("lone surrogate", "holds half of a surrogate pair, which is no text in any encoding") from None


def read_chunk(file: Path) -> Iterator[tuple[Candidate, dict[str, Any]]]:
    """Yield the examples of a chunk, and what is known of each."""
    for line in file.read_bytes().splitlines():
        *candidate, about = orjson.loads(line)
        yield Candidate(*candidate), about


def _digest(value: Any) -> bytes:
    return sha256(orjson.dumps(value)).digest()[:DIGEST_BYTES]


def question_digest(messages: Messages) -> bytes:
    """Return the digest by which an example is held out: of the user's first message alone, without the system message.

    Folded, so that one question is on one side however it is written: compatibility forms (NFKC), case and white space are made
    equal, and punctuation and blanks at both ends are left out.
    """
    text = fold(next(one["content"] for one in messages if one["role"] == "user"))
    return _digest(text.strip("".join(char for char in set(text) if char == " " or unicodedata.category(char).startswith("P"))))
