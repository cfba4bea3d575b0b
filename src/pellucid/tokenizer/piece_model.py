"""What a SentencePiece `.model` file holds: pieces with scores and kinds, and how text is prepared (sentencepiece_model.proto)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from pellucid.core.errors import DataError
from pellucid.core.protobuf import wire_bytes, wire_fields
from pellucid.tokenizer.vocabulary import PieceKind

__all__ = ["Piece", "PieceModel", "piece_model_bytes", "read_piece_model"]

# SentencePiece.Type.
_KINDS: dict[int, PieceKind] = {1: "normal", 2: "unknown", 3: "control", 4: "user_defined", 5: "unused", 6: "byte"}
_NUMBERS = {kind: number for number, kind in _KINDS.items()}
_UNIGRAM, _BPE = 1, 2
# TrainerSpec's names of the pieces for unknown text, begin, end and padding.
_NAMED = {"unk": 45, "bos": 46, "eos": 47, "pad": 48}


@dataclass(frozen=True)
class Piece:
    """One piece, with `▁` for a space. A piece of bytes is spelled `<0x0A>`."""

    text: str
    score: float
    kind: PieceKind


@dataclass(frozen=True)
class PieceModel:
    """The pieces by id, and what is done to a text before pieces are looked for."""

    pieces: tuple[Piece, ...]
    is_bpe: bool
    normalises: bool
    adds_dummy_prefix: bool
    removes_extra_whitespaces: bool
    # SentencePiece's own table of how a text is normalised, where it is.
    charsmap: bytes = b""


def read_piece_model(data: bytes) -> PieceModel:
    """Read the bytes of a model file. Raises `DataError` when they are none."""
    pieces: list[Piece] = []
    trainer: dict[int, int | memoryview] = {}
    normalizer: dict[int, int | memoryview] = {}
    try:
        for number, value in wire_fields(memoryview(data)):
            if isinstance(value, int):
                continue
            if number == 1:
                pieces.append(_piece(value))
            elif number == 2:
                trainer = dict(wire_fields(value))
            elif number == 3:
                normalizer = dict(wire_fields(value))
    except (ValueError, KeyError, struct.error) as error:
        raise DataError(f"this is no SentencePiece model: {error}") from error
    if not pieces:
        raise DataError("this is no SentencePiece model: it holds no pieces")
    # Defaults of the format: UNIGRAM, and true for both kinds of blanks.
    return PieceModel(
        tuple(pieces),
        trainer.get(3, 1) == _BPE,
        bool(normalizer.get(2, b"")),
        bool(normalizer.get(3, 1)),
        bool(normalizer.get(4, 1)),
        b"" if isinstance(table := normalizer.get(2, b""), int) else bytes(table),
    )


def piece_model_bytes(model: PieceModel, named: Mapping[str, str | None]) -> bytes:
    """Return the bytes of a model file that normalises nothing; `named` says which pieces are `unk`, `bos`, `eos` and `pad`."""
    pieces = [
        (1, wire_bytes([(1, piece.text.encode()), (2, float(piece.score)), (3, _NUMBERS[piece.kind])])) for piece in model.pieces
    ]
    trainer: list[tuple[int, int | float | bytes]] = [
        (3, _BPE if model.is_bpe else _UNIGRAM),
        (4, len(pieces)),
        (35, any(piece.kind == "byte" for piece in model.pieces)),
        *((_NAMED[name], text.encode()) for name, text in named.items() if text is not None),
    ]
    normalizer: list[tuple[int, int | float | bytes]] = [
        (1, b"identity"),
        (3, model.adds_dummy_prefix),
        (4, model.removes_extra_whitespaces),
        (5, True),
    ]
    return wire_bytes([*pieces, (2, wire_bytes(trainer)), (3, wire_bytes(normalizer))])


def _piece(message: memoryview) -> Piece:
    text, score, kind = "", 0.0, 1
    for number, value in wire_fields(message):
        if number == 1 and not isinstance(value, int):
            text = str(value, "utf-8")
        elif number == 2 and not isinstance(value, int):
            (score,) = struct.unpack("<f", value)
        elif number == 3 and isinstance(value, int):
            kind = value
    return Piece(text, score, _KINDS[kind])
