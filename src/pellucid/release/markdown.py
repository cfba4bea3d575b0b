"""Markdown pieces: tables whose cells cannot break out of them, numbers as people read them."""

from collections.abc import Iterable, Sequence

__all__ = ["cell", "listed", "number", "table"]


def cell(value: object) -> str:
    """Return a table cell: one line, no bar that would end it, no HTML; a dash for None."""
    if value is None:
        return "–"
    text = " ".join(str(value).split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")


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
