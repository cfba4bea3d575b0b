"""What each code point is to the quality rules, as tables to look whole batches up in.

The sets are those of datatrove 0.10.1 (symbols, ends of sentences), of Python (letters, spaces, line breaks) and of Unicode.
"""

import sys
import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pellucid.core.hashing import mix

__all__ = [
    "ALPHA",
    "CLOSING",
    "LIMIT",
    "LINE_BREAKS",
    "NON_DIGIT",
    "NON_LETTER",
    "NON_PUNCTUATION",
    "NON_SPACE",
    "NON_SYMBOL",
    "SPACELESS",
    "code_mixes",
    "code_traits",
    "sentence_ends",
    "terminal_marks",
]

LIMIT = sys.maxunicode + 1

# One bit each; white space has none of them.
NON_SYMBOL, ALPHA, NON_PUNCTUATION, NON_SPACE, NON_LETTER, NON_DIGIT, CLOSING, SPACELESS = (np.uint8(1 << bit) for bit in range(8))

# str.splitlines ends a line at these, and at a carriage return with the line feed after it once.
LINE_BREAKS = (0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029)

_SYMBOLS = "0-8 b-1f 22-2d 2f 3a-3e 40 5b-60 7b-9f ab b4 bb 2013-2014 2019 201c-201e 2026 2236 2501 25ba 3001 3008-300d 3010-3011"
_WIDE_SYMBOLS = "ff05 ff08-ff09 ff0c ff11 ff1a-ff1b ff5e"
_SENTENCE_ENDS = """21 2e 3f 589 61f 6d4 700-702 7f9 964-965 104a-104b 1362 1367-1368 166e 1735-1736 1803 1809 1944-1945 1aa8-1aab
1b5a-1b5b 1b5e-1b5f 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f
a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 11047-11048 110be-110c1 11141-11143
111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 1173c-1173e
11a42-11a43 11a9b-11a9c 11c41-11c42 16a6e-16a6f 16af5 16b37-16b38 16b44 1bc9f 1da88"""
_MORE_TERMINALS = """61d-61e 837 839 83d-83e 17d4-17d6 17d9-17da 1b7d-1b7e 2e53-2e54 10f55-10f59 10f86-10f89 11944 11946
11ef7-11ef8 11f43-11f44 16e98"""
_SPACELESS = "e00-eff 1000-109f 1780-17ff 3040-30ff 3400-4dbf 4e00-9fff f900-faff 20000-3ffff"
_CLOSING = ',;:!?)".'
_LETTERS_END = 0x32400  # no code point from here on is a letter, up to the tags and private planes


def parse_ranges(ranges: str) -> list[tuple[int, int]]:
    """Return first and last code point of each range in a string like "2a 30-39" (hexadecimal)."""
    pairs = (item.partition("-") for item in ranges.split())
    return [(int(first, 16), int(last or first, 16)) for first, _, last in pairs]


def _marked(ranges: str) -> NDArray[np.bool_]:
    marked = np.zeros(LIMIT, dtype=bool)
    for first, last in parse_ranges(ranges):
        marked[first : last + 1] = True
    return marked


@cache
def terminal_marks() -> NDArray[np.bool_]:
    """Return for each code point whether a line that ends in it ends like a sentence (FineWeb's rule)."""
    return _marked(f"{_SENTENCE_ENDS} {_MORE_TERMINALS}")


@cache
def sentence_ends() -> NDArray[np.bool_]:
    """Return for each code point whether, as a word of its own, it ends a sentence."""
    return _marked(_SENTENCE_ENDS)


@cache
def code_mixes() -> NDArray[np.uint64]:
    """Return a well-mixed number for each code point."""
    return mix(np.arange(1, LIMIT + 1, dtype=np.uint64))


@cache
def code_traits() -> NDArray[np.uint8]:
    """Return the bits above for each code point."""
    traits = np.full(LIMIT, NON_SYMBOL | NON_PUNCTUATION | NON_SPACE | NON_LETTER | NON_DIGIT, dtype=np.uint8)
    traits[_marked(f"{_SYMBOLS} {_WIDE_SYMBOLS}") | terminal_marks()] &= ~NON_SYMBOL
    traits[_marked(_SPACELESS)] |= SPACELESS
    traits[0x30:0x3A] &= ~NON_DIGIT
    for code in range(_LETTERS_END):
        char = chr(code)
        if char.isalpha():
            traits[code] = (traits[code] | ALPHA) & ~NON_LETTER
        elif char.isspace():
            traits[code] = 0
        elif unicodedata.category(char)[0] == "P":
            traits[code] &= ~NON_PUNCTUATION
    traits[[ord(char) for char in _CLOSING]] |= CLOSING
    return traits
