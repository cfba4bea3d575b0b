"""Unicode normalisation (UAX #15) in time that grows with the text, whatever is in it.

`unicodedata.normalize` puts the marks after a letter into their order by insertion: 40 000 pairs of marks in the wrong order take
seconds, a few megabytes of them days. Long runs of marks are therefore put into order here before.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Literal

__all__ = ["normal_form"]

_LONG_RUN = 64  # UAX #15, section 13 knows no text that needs more than 30
_TIBETAN_VOWELS = "\u0f73\u0f75\u0f81"  # all characters without a class that become marks with one


def normal_form(text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"], long_run: int = _LONG_RUN) -> str:
    """Return `unicodedata.normalize(form, text)`; runs of `long_run` marks or more are sorted first."""
    parts, last = [], 0
    for begin, end in _long_runs(text, long_run):
        parts += [text[last:begin], _in_order(text[begin:end])]
        last = end
    return unicodedata.normalize(form, "".join([*parts, text[last:]]) if parts else text)


def _long_runs(text: str, long_run: int) -> Iterator[tuple[int, int]]:
    """Yield where runs of marks begin and end. One character in `long_run` is looked at: such a run holds one of these."""
    begin = end = 0
    for place in range(long_run - 1, len(text), long_run):
        if place < end or not _is_mark(text[place]):
            continue
        begin, end = place, place + 1
        while begin and _is_mark(text[begin - 1]):
            begin -= 1
        while end < len(text) and _is_mark(text[end]):
            end += 1
        if end - begin >= long_run:
            yield begin, end


def _is_mark(char: str) -> bool:
    return unicodedata.combining(char) != 0 or char in _TIBETAN_VOWELS


def _in_order(marks: str) -> str:
    """Return the marks decomposed and sorted by their class, those of one class as they were: the canonical order."""
    return "".join(sorted("".join([_decomposed(mark) for mark in marks]), key=unicodedata.combining))


@cache
def _decomposed(mark: str) -> str:
    return unicodedata.normalize("NFD", mark)
