"""Where a program is known to read a vocabulary otherwise than training did: which ids it may give then, and no others.

All rules are SentencePiece's. What they allow is worked out from the checkpoint's own vocabulary, so that another vocabulary, or
another template, is told all the same.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["KnownReading", "known_readings", "other_splits", "spaced_after_special"]

# What SentencePiece writes for an unknown piece.
_UNKNOWN = "⁇"

KnownReading = Callable[[str, Sequence[int], Sequence[int]], bool]
"""Given a text, the checkpoint's ids and other ones: whether these are what the program is known to give instead."""


def known_readings(tokenizer: Tokenizer, *, is_gguf: bool) -> tuple[KnownReading | None, KnownReading | None]:
    """Return what llama.cpp, or any program with transformers' tokenizers, is known to make of strings and of conversations."""
    if not is_gguf:
        return (other_splits(tokenizer),) * 2
    return None, spaced_after_special(tokenizer) if tokenizer.vocabulary().adds_space_prefix else None


def other_splits(tokenizer: Tokenizer) -> KnownReading:
    """Return transformers' rule: other ids only of a text that it may split otherwise (`Tokenizer.may_differ`).

    They stand for the same text, but for letters with marks where it loses marks; special tokens are where they were.
    """
    special = set(tokenizer.special.values())
    names = "|".join(re.escape(name) for name in sorted(tokenizer.special, key=len, reverse=True))

    def is_known(text: str, ours: Sequence[int], theirs: Sequence[int]) -> bool:
        spelled, found = tokenizer.decode(ours), tokenizer.decode(theirs)
        runs = re.split(names, spelled) if names else []
        if any(map(unicodedata.combining, text)):
            spelled, found = _without_marks(spelled), _without_marks(found)
        if spelled != found or [id_ for id_ in ours if id_ in special] != [id_ for id_ in theirs if id_ in special]:
            return False
        return any(map(tokenizer.may_differ, (text, *runs)))

    return is_known


def _without_marks(text: str) -> str:
    """Return the text without the letters that bear marks, and without what stands for one that has no piece."""
    kept: list[str] = []
    for char in unicodedata.normalize("NFKD", text.replace(_UNKNOWN, "")):
        if unicodedata.combining(char):
            kept[-1:] = [""]
        else:
            kept.append(char)
    return "".join("".join(kept).split())


def spaced_after_special(tokenizer: Tokenizer) -> KnownReading:
    """Return llama.cpp's rule: the space that SentencePiece puts before a text, it puts before what follows a special token too."""
    special = set(tokenizer.special.values())

    def is_known(text: str, ours: Sequence[int], theirs: Sequence[int]) -> bool:
        expected: list[int] = []
        run: list[int] = []
        for id_ in (*ours, None):
            if id_ is not None and id_ not in special:
                run.append(id_)
                continue
            if run:
                expected += tokenizer.encode(tokenizer.decode_after(run) if expected else tokenizer.decode(run))
            expected += [] if id_ is None else [id_]
            run = []
        return list(theirs) == expected

    return is_known
