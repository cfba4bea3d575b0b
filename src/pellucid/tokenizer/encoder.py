"""Text → ids at full speed: quicktok where it provably agrees with tiktoken, tiktoken itself everywhere else.

tiktoken defines what is right. quicktok compiles the split pattern by hand and is several times faster, but it is young, so it is
checked as `checked.py` says. One difference is known and handled: letters and digits newer than quicktok's Unicode tables.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import tiktoken

from pellucid.tokenizer.checked import CheckedEncoder

__all__ = ["SPLIT_PATTERN", "Encoder", "Reference", "has_scanner", "open_quicktok"]

# cl100k's pattern as first published, with \p{N}{1,3} replaced by \p{N}: each digit is a piece of its own (Arcade100k).
SPLIT_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# White_Space of Unicode without the line ends \r and \n. tiktoken's regex engine overflows its stack on about a million of these.
_LONG_BLANK = re.compile("[\t\v\f \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]{65536,}")


class Reference:
    """tiktoken over the same ranks and pattern: slower, and right by definition."""

    def __init__(self, ranks: dict[bytes, int]) -> None:
        self._pattern = tiktoken.Encoding("pellucid", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens={})
        self._ranks = ranks
        self._whole: tiktoken.Encoding | None = None

    def encode(self, text: str) -> list[int]:
        """Return the ids of one text of any length."""
        ids: list[int] = []
        start = 0
        for blank in _LONG_BLANK.finditer(text):
            # After the last line end, \s+(?!\S) takes the blanks but for the one that the next word may own, and nothing
            # before them reaches in. So cutting there changes no id. Blanks followed by a line end are no trouble to tiktoken.
            end = blank.end() - (blank.end() < len(text))
            if text[blank.end() : blank.end() + 1] not in ("\r", "\n"):
                ids += self._pattern.encode_ordinary(text[start : blank.start()])
                ids += self._encode_piece(text[blank.start() : end])
                start = end
        return ids + self._pattern.encode_ordinary(text[start:])

    def _encode_piece(self, text: str) -> list[int]:
        if self._whole is None:
            self._whole = tiktoken.Encoding("piece", pat_str=r"(?s:.+)", mergeable_ranks=self._ranks, special_tokens={})
        return self._whole.encode_ordinary(text)


class Encoder(CheckedEncoder):
    """Encodes text with the ranks of one vocabulary. Special-token strings are text like any other."""

    def __init__(self, ranks: dict[bytes, int]) -> None:
        super().__init__(Reference(ranks), lambda: open_quicktok(ranks), ("quicktok", "tiktoken"))


def open_quicktok(ranks: dict[bytes, int], pattern: str = SPLIT_PATTERN, *, nfc: bool = False) -> Any:
    """Return a quicktok tokenizer over these ranks; the files it reads exist only while it opens them. It is given no specials.

    Raises `KeyError` for a split pattern that quicktok has no scanner for. `nfc`: it normalises text first.
    """
    import quicktok
    from quicktok import _import_core

    scanner = _import_core.KNOWN_PATTERNS[pattern]
    with tempfile.TemporaryDirectory(prefix="pellucid-") as folder:
        _import_core.write_files(folder, "pellucid", ranks, {}, scanner, nfc)
        _import_core.ensure_tables(folder, Path(quicktok.__file__).parent / "data", scanner, nfc)
        return quicktok.Tokenizer("pellucid", folder)


def has_scanner(pattern: str) -> bool:
    """Tell whether quicktok is there and has a scanner for a split pattern."""
    try:
        from quicktok import _import_core
    except ImportError:
        return False
    return pattern in _import_core.KNOWN_PATTERNS
