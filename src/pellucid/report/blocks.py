"""What a section is made of: small frozen blocks that know nothing of HTML or PDF; `html` and `typst` turn them into pages."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pellucid.report.facts import Fact

__all__ = [
    *("Block", "Card", "Cards", "Cell", "Details", "Drawing", "Figure", "Heading", "Inline", "Note", "Paragraph", "Row", "Sample"),
    *("Section", "Table", "facts_of", "inlines"),
]

Inline = Fact | str
"""What stands in a line of text."""
Cell = Inline | tuple[Inline, ...] | None
"""What stands in a table: a number that knows where it is from, text, several of both, or nothing (shown as a dash)."""


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A line of text, with numbers in it that know where they are from."""

    parts: tuple[Inline, ...]


@dataclass(frozen=True)
class Note:
    """A remark in small type: below a table, or what a section says that has nothing to show."""

    parts: tuple[Inline, ...]
    kind: Literal["foot", "empty"] = "foot"


@dataclass(frozen=True)
class Row:
    """A table's row. `kind` says how it is set apart: total, printed, printed first, clean, told; `mark` is a chart's colour."""

    cells: tuple[Cell, ...]
    kind: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """Rows below heads; columns from `numbers_from` on hold numbers."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str
    numbers_from: int = 1


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG with the numbers that it was drawn from, as columns of a table."""

    svg: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | float | None, ...], ...] = ()


@dataclass(frozen=True)
class Figure:
    """A drawing, its caption, and the file (and place in it) that its numbers were read from."""

    drawing: Drawing
    caption: str
    file: str
    pointer: str = ""


@dataclass(frozen=True)
class Sample:
    """A text that a model read or wrote, whole: a title, a text of its own or none, and texts each with its heading."""

    title: str
    text: str
    texts: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True)
class Card:
    """One answer of the first screen: what is asked, the answer in few words, lines that say more; good, bad or neither."""

    title: str
    answer: tuple[Inline, ...]
    lines: tuple[tuple[Inline, ...], ...] = ()
    kind: Literal["", "good", "bad"] = ""


@dataclass(frozen=True)
class Cards:
    """Answers side by side."""

    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Details:
    """Blocks behind a line that opens them on a screen; on paper they stand open."""

    summary: str
    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Section:
    """A part of the report with its heading; `name` is its anchor."""

    name: str
    title: str
    blocks: tuple["Block", ...]


Block = Heading | Paragraph | Note | Table | Figure | Sample | Cards | Details | Section


def facts_of(block: Block) -> Iterator[Fact]:
    """Yield the numbers of a block in the order in which they stand in it."""
    if isinstance(block, Section | Details):
        for inner in block.blocks:
            yield from facts_of(inner)
        return
    if isinstance(block, Table):
        contents: list[Cell] = [cell for row in block.rows for cell in row.cells]
    elif isinstance(block, Paragraph | Note):
        contents = [block.parts]
    elif isinstance(block, Sample):
        contents = [text for _, text in block.texts]
    elif isinstance(block, Cards):
        contents = [line for card in block.cards for line in (card.answer, *card.lines)]
    else:
        contents = []
    for content in contents:
        yield from (one for one in inlines(content) if isinstance(one, Fact))


def inlines(cell: Cell) -> tuple[Inline, ...]:
    """Return what stands in a cell one after the other; nothing where it is empty."""
    return () if cell is None else cell if isinstance(cell, tuple) else (cell,)
