"""How commands print: JSON for programs, a calm table for people."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from pellucid.core.excerpt import visible
from pellucid.core.files import json_bytes

__all__ = ["open_console", "print_beside", "print_json", "print_rich", "print_shown", "print_table", "print_text"]


def print_json(value: Any) -> None:
    """Print indented JSON with sorted keys."""
    sys.stdout.write(json_bytes(value).decode())


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None, right: Sequence[int] = ()
) -> None:
    """Print a table; `right` lists the columns of numbers. What is no `Text` is made visible: it steers no terminal."""
    table = Table(
        title=None if title is None else visible(title), title_justify="left", box=None, header_style="bold", pad_edge=False
    )
    for index, column in enumerate(columns):
        table.add_column(visible(column), justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else visible(str(cell)) for cell in row))
    print_rich(table)


def print_rich(content: RenderableType) -> None:
    """Print what rich renders."""
    open_console().print(content)


def open_console() -> Console:
    """Return a console on standard output: as wide as the terminal, or 160 columns into a file or pipe, where colours are left out.

    Text is printed as it is: no markup, no names of emoji.
    """
    width = None if sys.stdout.isatty() else 160
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_beside(console: Console, bar: Text, text: Text, first: Text | None = None) -> None:
    """Print a text with a bar beside each of its lines, beside the first line `first` where given. Words that are too long fold."""
    for number, line in enumerate(text.wrap(console, console.width - bar.cell_len, overflow="fold", tab_size=4)):
        line.rstrip()
        console.print((first if first is not None and number == 0 else bar).copy().append_text(line))


def print_text(text: str, end: str = "\n") -> None:
    """Print text at once, its control and direction characters as visible signs: it may hold what others wrote."""
    print_shown(visible(text), end)


def print_shown(text: str, end: str = "\n") -> None:
    """Print a piece of text as it is, at once, so that it is seen while it grows: one that was made visible as a whole."""
    sys.stdout.write(text + end)
    sys.stdout.flush()
