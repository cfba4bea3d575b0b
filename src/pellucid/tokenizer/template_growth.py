"""What templates may do with values, and what that costs at most, told before it is done."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Sized
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext, Macro
from jinja2.utils import Cycler, Namespace

__all__ = ["FREE", "GROWING", "LAZY", "MOST_DEPTH", "READING", "TESTS", "growth", "reachable", "searched", "sizes"]

# Lists and mappings in one another, where they are written as text, compared, or made keys.
MOST_DEPTH = 50

# Filters that take no longer for long values than for short ones, those that hand on item by item, and those that read all.
FREE = frozenset(("abs", "count", "d", "default", "first", "last", "length"))
LAZY = frozenset(("items", "map", "reject", "rejectattr", "reverse", "select", "selectattr"))
READING = frozenset(
    (
        "batch",
        "capitalize",
        "center",
        "dictsort",
        "e",
        "escape",
        "float",
        "format",
        "groupby",
        "indent",
        "int",
        "join",
        "list",
        "lower",
    )
).union(
    ("max", "min", "replace", "round", "safe", "slice", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique"),
    ("upper", "wordcount"),
)

# Tests by whether they read their value.
TESTS = {
    **dict.fromkeys(
        ("boolean", "callable", "defined", "even", "false", "filter", "float", "integer", "iterable", "mapping"), False
    ),
    **dict.fromkeys(("none", "number", "odd", "sameas", "sequence", "string", "test", "true", "undefined"), False),
    **dict.fromkeys(("!=", "<", "<=", "==", ">", ">=", "divisibleby", "eq", "equalto", "ge", "greaterthan", "gt", "in"), True),
    **dict.fromkeys(("le", "lessthan", "lower", "lt", "ne", "upper"), True),
}

_STRINGS = frozenset(
    ("capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "format_map", "index", "isalnum")
).union(
    (
        "isalpha",
        "isascii",
        "isdecimal",
        "isdigit",
        "islower",
        "isnumeric",
        "isspace",
        "istitle",
        "isupper",
        "join",
        "ljust",
        "lower",
    ),
    (
        "lstrip",
        "partition",
        "removeprefix",
        "removesuffix",
        "replace",
        "rfind",
        "rindex",
        "rjust",
        "rpartition",
        "rsplit",
        "rstrip",
    ),
    ("split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill"),
)
# The kinds of values whose attributes a template may have, and which; of all others none.
_REACHABLE: tuple[tuple[type, frozenset[str]], ...] = (
    (str, _STRINGS),
    (Mapping, frozenset(("get", "items", "keys", "values"))),
    (tuple, frozenset(("count", "grouper", "index", "list"))),
    (list, frozenset(("count", "index"))),
    (
        LoopContext,
        frozenset(("changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem")).union(
            ("previtem", "revindex", "revindex0")
        ),
    ),
    (Cycler, frozenset(("current", "next", "reset"))),
    (Macro, frozenset(("name",))),
)

# Filters and methods of strings by which a short template makes a long text.
GROWING = frozenset(
    ("batch", "center", "expandtabs", "format", "format_map", "indent", "join", "ljust", "replace", "rjust", "slice", "wordwrap")
).union(["zfill"])

# Besides line ends, for which `indent` looks as `str.splitlines` does, what is widened.
_WIDENED = "\n\t\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
# Fields of both kinds of formats, with their flags and widths.
_FIELDS = re.compile(r"%[^a-zA-Z]*|\{[^}]*")
_DIGITS = re.compile(r"\d+")


def reachable(owner: Any, attribute: str) -> bool:
    """Return whether a template may have this attribute of a value."""
    if isinstance(owner, Namespace):
        return not attribute.startswith("_")
    return any(isinstance(owner, kind) and attribute in allowed for kind, allowed in _REACHABLE)


def sizes(value: Any, pad: int = 0) -> Iterator[int]:
    """Yield the sizes of all parts of a value, those it holds twice twice, as text and comparisons go through them.

    Characters of strings, and for a list or mapping 200 and for each of its items 32 and `pad` for each level it lies in: about
    the time it takes to go through them here. Values that share
    parts may have more than can be gone through, so stop when it is enough. Raises `SecurityError` when nested too deeply.
    """
    levels = [iter((value,))]
    while levels:
        for part in levels[-1]:
            if isinstance(part, str):
                yield 2 + len(part)
            elif isinstance(part, int):
                yield _worked(4 * _bytes(part))
            elif isinstance(part, Namespace | Collection):
                items = part._Namespace__attrs if isinstance(part, Namespace) else part
                if len(levels) > MOST_DEPTH:
                    raise SecurityError(f"lists or mappings are nested deeper than {MOST_DEPTH}")
                yield 200 + (32 + pad * len(levels)) * len(items)
                levels.append((pair for item in items.items() for pair in item) if isinstance(items, Mapping) else iter(items))
                break
            else:
                yield 24
        else:
            levels.pop()


def searched(name: str, subject: str, args: Sequence[Any]) -> int:
    """Return what a method of a string reads beyond the string once, and what the list it returns holds.

    Python looks for a string from the left in time linear in both, but for small ones, and from the right in their product; it
    strips characters in their product too.
    """
    sought = len(args[0]) if args and isinstance(args[0], str) else 1
    if name in ("rfind", "rindex", "rpartition", "rsplit", "strip", "lstrip", "rstrip"):
        cost = len(subject) * sought // 8
    else:
        cost = len(subject) * min(sought, 100) // 8
    if name in ("split", "rsplit", "splitlines"):
        given = isinstance(args[0], str) if args and name != "splitlines" else False
        cost += 64 * (1 + subject.count(args[0])) if given and args[0] else 8 * len(subject)
    return cost


def growth(name: str, subject: Any, args: Sequence[Any], named: Mapping[str, Any]) -> int:
    """Return at least the length of what an operator, filter or method of this name makes; 0 where it makes nothing longer.

    The characters of a string, eight for an item of a list, the bytes of a number. What the filter does not take
    itself is taken for granted: a wrong call raises an error of its own afterwards. Values are gone through as by `sizes`.
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
        pieces, mark = (given[0], subject) if given and not isinstance(given[0], str) else (subject, given[0] if given else "")
        return _length(pieces) * (1 + len(str(mark)))
    if name in ("format", "format_map"):
        return _formatted(str(subject), given)
    lines = 1 + (sum(map(subject.count, _WIDENED)) if isinstance(subject, str) else 0)
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


def _reckoned(left: Any, right: Any) -> int:
    return _worked(_bytes(left) + _bytes(right)) + sum(8 * len(value) for value in (left, right) if isinstance(value, Collection))


def _modulo(left: Any, right: Any) -> int:
    if isinstance(left, str):
        return _formatted(left, right if isinstance(right, tuple) else (right,))
    return _reckoned(left, right)


_OPERATORS = {"+": _added, "*": _times, "**": _power, "%": _modulo, "-": _reckoned, "/": _reckoned, "//": _reckoned}


def _formatted(form: str, values: Sequence[Any]) -> int:
    """The widths that a format names or takes from its values, and its values, each as often as any is asked for."""
    fields = _FIELDS.findall(form)
    named = _digits(fields)
    nested = any("{" in field[1:] for field in fields)
    taken = sum(map(_number, values)) if nested or any("*" in field for field in fields) else 0
    if nested:
        # A width may come as text, from wherever in the values.
        taken += sum(_digits([str(value)]) for value in values)
    return len(form) + named + (1 + len(fields)) * (taken + sum(size for value in values for size in sizes(value)))


def _digits(texts: Sequence[str]) -> int:
    return sum(int(digits[:18]) for text in texts for digits in _DIGITS.findall(text))


def _number(value: Any) -> int:
    return max(value, 0) if isinstance(value, int) else 0


def _bytes(value: Any) -> int:
    return 1 + value.bit_length() // 8 if isinstance(value, int) else 0


def _length(value: Any) -> int:
    """Characters, or eight for each item."""
    return len(value) * (1 if isinstance(value, str) else 8) if isinstance(value, Sized) else 0
