"""A fast encoder that is believed only as far as a slow one, right by definition, agrees with it.

The two are compared on a probe when opened and on the first real texts that pass through; at the first difference the fast one
is given up, with a warning. Texts on which they are known to differ go to the slow one from the start.
"""

import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import DataError, PellucidWarning
from pellucid.tokenizer.tokenizer_json import panics_are_told

__all__ = [
    "PROBE",
    "CheckedEncoder",
    "FastEncoder",
    "Ids",
    "Offsets",
    "ReferenceEncoder",
    "join_rows",
    "refuse_surrogates",
    "split_rows",
]

Ids = npt.NDArray[np.uint32]
Offsets = npt.NDArray[np.int64]

# First UTF-8 bytes of the blocks that still receive new letters and digits: U+0800–1FFF, U+A000–AFFF, and above U+FFFF.
_GROWING_BLOCKS = (b"\xe0", b"\xe1", b"\xea", b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4")

_FIRST_TEXTS_CHARS = 2**18
PROBE = (
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


class ReferenceEncoder(Protocol):
    """The slow encoder, which defines what is right."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of one text."""


class FastEncoder(Protocol):
    """The fast encoder, which may err."""

    def encode_batch(self, texts: list[str], threads: int) -> tuple[Ids, Offsets]:
        """Return all ids in one array, and offsets (n+1)."""


class CheckedEncoder:
    """Encodes with the fast encoder where it agrees with the reference, with the reference everywhere else.

    `names` are those of the fast encoder and of the reference, for the warning. `leave` tells texts that go to the reference in
    any case. `probe` is encoded by both when opened. Without `open_fast` the reference does everything, and nothing is said.
    """

    def __init__(
        self,
        reference: ReferenceEncoder,
        open_fast: Callable[[], FastEncoder] | None,
        names: tuple[str, str],
        *,
        probe: Sequence[str] = PROBE,
        leave: Callable[[str], bool] | None = None,
    ) -> None:
        self._reference = reference
        self._names = names
        self._leave = leave
        self._unchecked_chars = _FIRST_TEXTS_CHARS
        self._fast: FastEncoder | None = None
        if open_fast is None:
            return
        texts = [text for text in probe if leave is None or not leave(text)]
        try:
            with panics_are_told("encoding a text"):
                self._fast = open_fast()
                agrees = self._equal(texts, *self._fast.encode_batch(texts, 1))
        except Exception as error:
            self._fall_back(f"cannot be used ({type(error).__name__}: {error})")
        else:
            if not agrees:
                self._fall_back(f"gives other ids than {names[1]} on the probe texts")

    @property
    def is_fast(self) -> bool:
        """Whether the fast encoder is at work; otherwise the reference is."""
        return self._fast is not None

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> tuple[Ids, Offsets]:
        """Return all ids in one array, and offsets (n+1): text `i` is `ids[offsets[i]:offsets[i + 1]]`.

        Raises `DataError` when a text holds a lone surrogate, which no UTF-8 file can. `threads` counts for some fast encoders.
        """
        odd = _texts_with_new_letters(texts)
        if self._leave is not None:
            odd = sorted({*odd, *(index for index, text in enumerate(texts) if self._leave(text))})
        if self._fast is None or len(odd) == len(texts):
            return join_rows([self._reference.encode(text) for text in texts])
        left = set(odd)
        kept = [text for index, text in enumerate(texts) if index not in left]
        with panics_are_told("encoding a text"):
            ids, offsets = self._fast.encode_batch(kept, threads)
        if self._unchecked_chars > 0 and not self._agrees(kept, ids, offsets):
            self._fall_back(f"gives other ids than {self._names[1]} on the first texts")
            return self.encode_batch(texts)
        if odd:
            rows: list[Sequence[int] | Ids] = list(np.split(ids, offsets[1:-1]))
            for index in odd:
                rows.insert(index, self._reference.encode(texts[index]))
            return join_rows(rows)
        return ids, offsets

    def _agrees(self, texts: Sequence[str], ids: Ids, offsets: Offsets) -> bool:
        """Compare the fast ids with the reference's until enough text was seen; very long texts are left out."""
        for index, text in enumerate(texts):
            if self._unchecked_chars <= 0:
                break
            if len(text) <= _FIRST_TEXTS_CHARS:
                self._unchecked_chars -= len(text)
                if self._reference.encode(text) != ids[offsets[index] : offsets[index + 1]].tolist():
                    return False
        return True

    def _equal(self, texts: Sequence[str], ids: Ids, offsets: Offsets) -> bool:
        rows = (ids[start:end].tolist() for start, end in pairwise(offsets))
        return all(self._reference.encode(text) == row for text, row in zip(texts, rows, strict=True))

    def _fall_back(self, why: str) -> None:
        self._fast = None
        fast, reference = self._names
        warnings.warn(f"{fast} {why}; encoding goes on with {reference}: exact, but slower", PellucidWarning, stacklevel=3)


def refuse_surrogates(texts: Sequence[str]) -> list[tuple[int, bytes]]:
    """Return number and UTF-8 of the texts that are not ASCII. Raises `DataError` when one holds a lone surrogate."""
    encoded = []
    for index, text in enumerate(texts):
        if text.isascii():
            continue
        try:
            encoded.append((index, text.encode()))
        except UnicodeEncodeError as error:
            raise DataError(
                f"text {index} of {len(texts)} holds the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, "
                "which is no valid Unicode; read its source with errors='replace', or drop the document"
            ) from error
    return encoded


def _texts_with_new_letters(texts: Sequence[str]) -> list[int]:
    """Return the indices of texts with a code point that this Python's Unicode tables do not know yet.

    Encoders agree on all that it knows; on newer ones each has its own opinion of what is a letter or a digit.
    """
    return [
        index
        for index, data in refuse_surrogates(texts)
        if any(block in data for block in _GROWING_BLOCKS) and any(unicodedata.category(char) == "Cn" for char in set(texts[index]))
    ]


def join_rows(rows: Iterable[Sequence[int] | Ids]) -> tuple[Ids, Offsets]:
    """Return the rows in one flat array, and the offsets (n+1) at which each begins."""
    rows = list(rows)
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    flat = np.empty(offsets[-1], dtype=np.uint32)
    for row, start, end in zip(rows, offsets[:-1], offsets[1:], strict=True):
        flat[start:end] = row
    return flat, offsets


def split_rows(flat: Ids, offsets: Offsets) -> list[list[int]]:
    """Return the rows that `join_rows` put into one array."""
    ids, bounds = flat.tolist(), offsets.tolist()
    return [ids[start:end] for start, end in pairwise(bounds)]
