"""Text → ids at full speed: quicktok where it provably agrees with tiktoken, tiktoken itself everywhere else.

tiktoken defines what is right. quicktok compiles the split pattern by hand and is several times faster, but it is young, so it is
compared with tiktoken on a probe when opened and on the first real texts that pass through, and given up, with a warning, at the
first difference. One difference is known and handled: letters and digits that entered Unicode after quicktok's tables were made.
"""

import re
import tempfile
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tiktoken

from pellucid.core.errors import DataError, PellucidWarning

__all__ = ["SPLIT_PATTERN", "Encoder"]

Ids = npt.NDArray[np.uint32]
Offsets = npt.NDArray[np.int64]

# cl100k's pattern as first published, with \p{N}{1,3} replaced by \p{N}: each digit is a piece of its own (Arcade100k).
SPLIT_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# White_Space of Unicode without the line ends \r and \n. tiktoken's regex engine overflows its stack on about a million of these.
_LONG_BLANK = re.compile("[\t\v\f \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]{65536,}")

# First UTF-8 bytes of the blocks that still receive new letters and digits: U+0800–1FFF, U+A000–AFFF, and above U+FFFF.
_GROWING_BLOCKS = (b"\xe0", b"\xe1", b"\xea", b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4")

_FIRST_TEXTS_CHARS = 2**18
_PROBE = (
    "",
    "a",
    "\0\x01\x7f\x85",
    "The quick brown fox can't jump over 13 lazy dogs; they'LL see'S 1234567890 ½ ² ٣.",
    "def f(x):\n\treturn {k: v**2 for k, v in x.items()}  # <|endoftext|>\r\n\r\n    pass \n  ",
    "Größe – «été» ¿señor? L'università è già lì, de één, São Paulo…",
    "久久夜色 日本語のテキスト 한국어 Икс हिन्दी ไทย עברית العربية á̛z e\u0301 \u200d\ufeff",
    "🚀🔥👩‍👩‍👧‍👦 \U0001d400 \U0010ffff",
    " \n \n\n  x\t\t\ty \u2003\u3000 z   ",
    "<|im_start|>user<|im_end|><reponame><fim>!!!???\n\n---===---\n",
    "https://example.org/a_b?c=1&d=%20#e $x^2+y^{10}=\\frac{3}{14}$ 'tis 'TWAS 'ſ",
)


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


class Encoder:
    """Encodes text with the ranks of one vocabulary. Special-token strings are text like any other."""

    def __init__(self, ranks: dict[bytes, int]) -> None:
        self._reference = Reference(ranks)
        self._unchecked_chars = _FIRST_TEXTS_CHARS
        self._fast: Any = None
        try:
            self._fast = open_quicktok(ranks)
            agrees = self._agrees(_PROBE, *self._fast.encode_batch(list(_PROBE), 1))
        except Exception as error:
            self._fall_back(f"cannot be used ({type(error).__name__}: {error})")
        else:
            if not agrees:
                self._fall_back("gives other ids than tiktoken on the probe texts")

    @property
    def is_fast(self) -> bool:
        """Whether quicktok is at work; otherwise tiktoken is."""
        return self._fast is not None

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> tuple[Ids, Offsets]:
        """Return all ids in one array, and offsets (n+1): text `i` is `ids[offsets[i]:offsets[i + 1]]`.

        Raises `DataError` when a text holds a lone surrogate, which no UTF-8 file can. `threads` counts for quicktok only.
        """
        odd = _texts_with_new_letters(texts)
        if self._fast is None:
            return _join([self._reference.encode(text) for text in texts])
        ids, offsets = self._fast.encode_batch(list(texts), threads)
        if odd:
            rows = np.split(ids, offsets[1:-1])
            for index in odd:
                rows[index] = np.array(self._reference.encode(texts[index]), dtype=np.uint32)
            ids, offsets = np.concatenate(rows), np.cumsum([0, *map(len, rows)], dtype=np.int64)
        if self._unchecked_chars > 0 and not self._agrees(texts, ids, offsets):
            self._fall_back("gives other ids than tiktoken on the first texts")
            return self.encode_batch(texts)
        return ids, offsets

    def _agrees(self, texts: Sequence[str], ids: Ids, offsets: Offsets) -> bool:
        """Compare quicktok's ids with tiktoken's until enough text was seen; very long texts are left out."""
        for index, text in enumerate(texts):
            if self._unchecked_chars <= 0:
                break
            if len(text) <= _FIRST_TEXTS_CHARS:
                self._unchecked_chars -= len(text)
                if self._reference.encode(text) != ids[offsets[index] : offsets[index + 1]].tolist():
                    return False
        return True

    def _fall_back(self, why: str) -> None:
        self._fast = None
        warnings.warn(f"quicktok {why}; encoding goes on with tiktoken: exact, but slower", PellucidWarning, stacklevel=3)


def open_quicktok(ranks: dict[bytes, int]) -> Any:
    """Return a quicktok tokenizer over these ranks; the files it reads exist only while it opens them. It is given no specials."""
    import quicktok
    from quicktok import _import_core

    scanner = _import_core.KNOWN_PATTERNS[SPLIT_PATTERN]
    with tempfile.TemporaryDirectory(prefix="pellucid-") as folder:
        _import_core.write_files(folder, "pellucid", ranks, {}, scanner, False)
        _import_core.ensure_tables(folder, Path(quicktok.__file__).parent / "data", scanner, False)
        return quicktok.Tokenizer("pellucid", folder)


def _texts_with_new_letters(texts: Sequence[str]) -> list[int]:
    """Return the indices of texts with a code point that this Python's Unicode tables do not know yet.

    quicktok and tiktoken agree on all that it knows; on newer ones each has its own opinion of what is a letter or a digit.
    """
    odd = []
    for index, text in enumerate(texts):
        if text.isascii():
            continue
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"text {index} of {len(texts)} holds the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, "
                "which is no valid Unicode; read its source with errors='replace', or drop the document"
            ) from error
        if any(block in data for block in _GROWING_BLOCKS) and any(unicodedata.category(char) == "Cn" for char in set(text)):
            odd.append(index)
    return odd


def _join(rows: list[list[int]]) -> tuple[Ids, Offsets]:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    flat = np.empty(offsets[-1], dtype=np.uint32)
    for row, start, end in zip(rows, offsets[:-1], offsets[1:], strict=True):
        flat[start:end] = row
    return flat, offsets
