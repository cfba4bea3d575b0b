"""Markdown pieces: text that stays text, tables whose cells cannot break out of them, numbers as people read them."""

import re
from collections.abc import Iterable, Sequence

from pellucid.core.excerpt import visible

__all__ = ["as_code", "cell", "listed", "number", "plain", "table"]

# What means something in a line wherever it stands. An underline does so only at the edge of a word.
_SIGNS = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")
# What begins a heading, a list or a rule at the start of a line.
_BEGINNING = re.compile(r"^(?:(\d{1,9})([.)])(?=\s|$)|()([#+-])(?=[\s#-]|$))")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_TICKS = str.maketrans({"`": "'"})


def plain(value: object) -> str:
    """Return a text of unknown origin on one line that a reader of Markdown shows letter by letter: no HTML, no link, no picture.

    Control and direction characters become visible signs. An address is still made a link of, to just what it says.
    """
    text = _SIGNS.sub(r"\\\g<0>", _one_line(value))
    text = "".join(_ENTITIES.get(char, char) for char in text)
    return _BEGINNING.sub(r"\1\3\\\2\4", text)


def as_code(value: object) -> str:
    """Return a text of unknown origin as code, on one line."""
    return f"`{_one_line(value).translate(_TICKS)}`"


def cell(value: object) -> str:
    """Return a table cell, as `plain` writes it, and so without a bar that would end it; a dash for None."""
    return "–" if value is None else plain(value)


def _one_line(value: object) -> str:
    return visible(" ".join(str(value).split()))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()) -> str:
    """Return a table; `right` lists the columns of numbers. Empty without rows."""
    lines = [f"| {' | '.join(map(cell, row))} |" for row in rows]
    if not lines:
        return ""
    marks = " | ".join("---:" if index in right else "---" for index in range(len(columns)))
    return "\n".join([f"| {' | '.join(map(cell, columns))} |", f"| {marks} |", *lines]) + "\n"


def listed(items: Iterable[str]) -> str:
    """Return a list of points."""
    return "".join(f"- {item}\n" for item in items)


def number(value: float | None, digits: int = 3) -> str | None:
    """Return a number with thin groups (12 345 678), or with so many decimals; None as it is."""
    if value is None:
        return None
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.{digits}f}"
