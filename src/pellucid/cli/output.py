"""How commands print: JSON for programs, a calm table for people."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from pellucid.core.files import json_bytes

__all__ = ["print_json", "print_rich", "print_table", "print_text"]


def print_json(value: Any) -> None:
    """Print indented JSON with sorted keys."""
    sys.stdout.write(json_bytes(value).decode())


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None, right: Sequence[int] = ()
) -> None:
    """Print a table; `right` lists the columns of numbers."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    print_rich(table)


def print_rich(content: RenderableType) -> None:
    """Print what rich renders: as wide as the terminal, or 160 columns into a file or pipe."""
    width = None if sys.stdout.isatty() else 160
    Console(highlight=False, markup=False, width=width).print(content)


def print_text(text: str, end: str = "\n") -> None:
    """Print text at once, so that it is seen while it grows."""
    sys.stdout.write(text + end)
    sys.stdout.flush()
