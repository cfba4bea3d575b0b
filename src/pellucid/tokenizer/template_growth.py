"""How much longer strings and lists become by what templates can do to them, told before it is done."""

import re
from collections.abc import Mapping, Sequence, Sized
from typing import Any

__all__ = ["GROWING", "growth"]

# Filters and methods of strings by which a short template makes a long text.
GROWING = frozenset(
    ("batch", "center", "expandtabs", "format", "format_map", "indent", "join", "ljust", "replace", "rjust", "slice", "wordwrap")
).union(["zfill"])

# Fields of both kinds of formats, with their flags and widths.
_FIELDS = re.compile(r"%[^a-zA-Z]*|\{[^}]*")
_DIGITS = re.compile(r"\d+")


def growth(name: str, subject: Any, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """Return at least the length of what an operator, filter or method of this name makes; 0 where it makes nothing longer.

    The characters of a string, eight for an item of a list, the bytes of a number. What the filter does not take
    itself is taken for granted: a wrong call raises an error of its own afterwards.
    """
    given = [*args, *named.values()]
    if name in _OPERATORS:
        return _OPERATORS[name](subject, args[0])
    if name not in GROWING:
        return 0
    if name == "replace":
        old, new = (str(value) for value in (*given, "", "")[:2])
        return _length(subject) + str(subject).count(old) * len(new)
    if name == "join":
        # The method is the mark's, the filter is the pieces'.
        pieces, mark = (subject, given[0] if given else "") if not given or isinstance(given[0], str) else (given[0], subject)
        return _length(pieces) * (1 + len(str(mark)))
    if name in ("format", "format_map"):
        return _formatted(str(subject), given)
    lines = 1 + (subject.count("\n") + subject.count("\t") if isinstance(subject, str) else 0)
    widths = sum(_number(value) if isinstance(value, int) else len(value) for value in given if isinstance(value, int | str))
    return _length(subject) + lines * widths


def _added(left: Any, right: Any) -> int:
    return _length(left) + _length(right)


def _times(left: Any, right: Any) -> int:
    for value, count in ((left, right), (right, left)):
        if isinstance(value, str | list | tuple) and isinstance(count, int):
            return _length(value) * _number(count)
    return _worked(_bytes(left) + _bytes(right))


def _power(left: Any, right: Any) -> int:
    return _worked(_bytes(left) * _number(right))


def _worked(size: int) -> int:
    """Numbers of many digits take work beyond their length."""
    return size + size * size // 1000


def _modulo(left: Any, right: Any) -> int:
    return _formatted(left, right if isinstance(right, tuple) else (right,)) if isinstance(left, str) else 0


_OPERATORS = {"+": _added, "*": _times, "**": _power, "%": _modulo}


def _formatted(form: str, values: Sequence[Any]) -> int:
    """The widths that a format names or takes from its values, and its values, each as often as any is asked for."""
    fields = _FIELDS.findall(form)
    named = sum(int(digits[:18]) for field in fields for digits in _DIGITS.findall(field))
    taken = sum(map(_number, values)) if any("*" in field or ":{" in field for field in fields) else 0
    return len(form) + named + (1 + len(fields)) * (taken + sum(map(_length, values)))


def _number(value: Any) -> int:
    return max(value, 0) if isinstance(value, int) else 0


def _bytes(value: Any) -> int:
    return 1 + value.bit_length() // 8 if isinstance(value, int) else 0


def _length(value: Any) -> int:
    """Characters, or eight for each item."""
    return len(value) * (1 if isinstance(value, str) else 8) if isinstance(value, Sized) else 0
