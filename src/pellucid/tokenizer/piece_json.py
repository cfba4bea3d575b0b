"""A SentencePiece model in Hugging Face's `tokenizer.json`, and the texts on which the two may part.

transformers makes one of a `tokenizer.model` by itself, and reads a text that begins with a blank otherwise than SentencePiece: its
step puts no space before such a text. The file written here does. One difference is left. SentencePiece's BPE joins the pair that
makes the piece of the best score, of equal ones the first in the text; `tokenizers` has a list of pairs, no two equally good.
"""

from base64 import b64encode
from collections.abc import Mapping
from itertools import pairwise
from re import escape
from typing import Any

import orjson

from pellucid.tokenizer.piece_model import PieceModel

__all__ = ["SPACE", "PieceTies", "piece_merges", "piece_tokenizer_json"]

SPACE = "▁"
# What stands for a text is made of these; control pieces, bytes and what is unknown never come of joining.
_JOINED = ("normal", "user_defined", "unused")
_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def piece_merges(model: PieceModel) -> list[tuple[str, str]]:
    """Return every pair of pieces that joins to a piece, the best score first; of one piece's, those with the longer left half."""
    ids = {piece.text for piece in model.pieces if piece.kind in _JOINED}
    found = []
    for piece in model.pieces:
        if piece.kind in ("normal", "unused"):
            halves = ((piece.text[:cut], piece.text[cut:]) for cut in range(1, len(piece.text)))
            found += [(-piece.score, -len(left), left, right) for left, right in halves if left in ids and right in ids]
    # The order of the vocabulary decides between pieces of one score, and the sort keeps it.
    found.sort(key=lambda one: one[:2])
    return [(left, right) for _, _, left, right in found]


def piece_tokenizer_json(model: PieceModel) -> bytes:
    """Return the bytes of a `tokenizer.json`.

    A text gets a space before it as SentencePiece gives it one; what follows a special token gets none. Control pieces are special
    tokens, and pieces that a text is always cut at are cut out before anything is joined.
    """
    unknown = next((piece.text for piece in model.pieces if piece.kind == "unknown"), None)
    added = [(id_, piece.text) for id_, piece in enumerate(model.pieces) if piece.kind in ("control", "unknown")]
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if model.adds_dummy_prefix else []
    return orjson.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": id_, "content": text, **_FLAGS} for id_, text in added],
            "normalizer": _normalizer(model),
            "pre_tokenizer": _pre_tokenizer(model),
            "post_processor": None,
            "decoder": {
                "type": "Sequence",
                "decoders": [
                    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                    {"type": "ByteFallback"},
                    {"type": "Fuse"},
                    *strip,
                ],
            },
            "model": _bpe(model, unknown) if model.is_bpe else _unigram(model, unknown),
        }
    )


def _normalizer(model: PieceModel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    if model.charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": b64encode(model.charsmap).decode()})
    if model.removes_extra_whitespaces:
        steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    return {"type": "Sequence", "normalizers": steps}


def _pre_tokenizer(model: PieceModel) -> dict[str, Any] | None:
    # Metaspace puts its mark before the first text unless that begins with it already. After the normalizer no text begins with a
    # blank: the first step, whose mark is a blank, always puts one there, and the second writes it as SentencePiece does.
    steps: list[dict[str, Any]] = []
    if model.adds_dummy_prefix:
        steps.append({"type": "Metaspace", "replacement": " ", "prepend_scheme": "first", "split": False})
        steps.append({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "never", "split": False})
    cut = sorted((piece.text for piece in model.pieces if piece.kind == "user_defined"), key=lambda text: -len(text))
    if cut:
        pattern = {"Regex": "|".join(map(escape, cut))}
        steps.append({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False})
    return {"type": "Sequence", "pretokenizers": steps} if steps else None


def _bpe(model: PieceModel, unknown: str | None) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": any(piece.kind == "byte" for piece in model.pieces),
        # A piece that was cut out is taken whole. So is what lies between two of them, were it the name of a special token: it
        # is one in transformers anyway, but with `split_special_tokens`.
        "ignore_merges": any(piece.kind == "user_defined" for piece in model.pieces),
        "vocab": {piece.text: id_ for id_, piece in enumerate(model.pieces)},
        "merges": piece_merges(model),
    }


def _unigram(model: PieceModel, unknown: str | None) -> dict[str, Any]:
    return {
        "type": "Unigram",
        "unk_id": next((id_ for id_, piece in enumerate(model.pieces) if piece.text == unknown), None),
        "vocab": [(piece.text, piece.score) for piece in model.pieces],
        "byte_fallback": any(piece.kind == "byte" for piece in model.pieces),
    }


class PieceTies:
    """Tells whether SentencePiece's BPE comes to a step on a text where two different pairs are equally good.

    Where it never does, `piece_merges` in their order take the very same steps. Where it does they seldom differ: the pairs must
    overlap too, as in runs of one character.
    """

    def __init__(self, model: PieceModel) -> None:
        self._prefix = SPACE if model.adds_dummy_prefix else ""
        self._scores: Mapping[str, float] = {piece.text: piece.score for piece in model.pieces if piece.kind in _JOINED}
        self._whole = sorted((piece.text for piece in model.pieces if piece.kind == "user_defined"), key=len, reverse=True)

    def found_in(self, text: str) -> bool:
        """Return whether there is such a step. Takes the square of the text's length."""
        spelled = self._prefix + text.replace(" ", SPACE)
        symbols: list[str] = []
        held: set[int] = set()
        while spelled:
            whole = next((one for one in self._whole if spelled.startswith(one)), None)
            if whole is not None:
                held.add(len(symbols))
            symbols.append(whole or spelled[0])
            spelled = spelled[len(symbols[-1]) :]
        return self._joined(symbols, [place in held for place in range(len(symbols))])

    def _joined(self, symbols: list[str], held: list[bool]) -> bool:
        while True:
            pairs = [
                (self._scores[left + right], left, right, place)
                for place, (left, right) in enumerate(pairwise(symbols))
                if left + right in self._scores and not (held[place] or held[place + 1])
            ]
            if not pairs:
                return False
            best = max(score for score, *_ in pairs)
            equal = [one for one in pairs if one[0] == best]
            if len({(left, right) for _, left, right, _ in equal}) > 1:
                return True
            _, left, right, place = equal[0]
            symbols[place : place + 2] = [left + right]
            del held[place]
