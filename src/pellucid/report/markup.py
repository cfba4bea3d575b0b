"""The words in which sections are written: each returns a block of `blocks`, which is shown on the page and in the PDF alike."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from pellucid.report.blocks import (
    Block,
    Cell,
    Details,
    Drawing,
    Figure,
    Heading,
    Inline,
    Note,
    Paragraph,
    Row,
    Sample,
    Section,
    Table,
)

__all__ = ["Cell", "Parts", "cell", "details", "figure", "heading", "note", "paragraph", "sample", "section", "table"]

Parts = Block | Iterable[Block] | Literal[""] | None
"""What a section is given: a block, several, or nothing."""


def cell(content: Inline | None) -> Inline:
    """Return a number or a text for a line of text: a dash where there is nothing."""
    return "–" if content is None else content


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    caption: str,
    numbers_from: int = 1,
    total: bool = False,
    marks: Sequence[str] = (),
    kinds: Mapping[int, str] = MappingProxyType({}),
) -> Table:
    """Return a table; columns from `numbers_from` on hold numbers; with `total` the last row is set apart.

    `marks` are colours that a chart gives to the rows: a square of its colour stands before the row's first cell. `kinds` set rows
    apart that are counted from 0: printed (not measured here), printed first, clean, told.
    """
    cells = [tuple(row) for row in rows]
    given = [kinds.get(number, "") for number in range(len(cells))]
    if total and given:
        given[-1] = "total"
    coloured = [*marks, *[""] * (len(cells) - len(marks))]
    made = tuple(Row(*one) for one in zip(cells, given, coloured, strict=True))
    return Table(tuple(columns), made, caption, numbers_from)


def figure(drawing: Drawing, caption: str, file: str, pointer: str = "") -> Figure:
    """Return a figure with its caption and the file that its points were read from."""
    return Figure(drawing, caption, file, pointer)


def section(name: str, title: str, *parts: Parts) -> Section:
    """Return a section of the page with its heading."""
    return Section(name, title, _blocks(parts))


def paragraph(*parts: Inline) -> Paragraph:
    """Return a paragraph of plain text, in which numbers may stand."""
    return Paragraph(parts)


def heading(text: str) -> Heading:
    """Return a heading inside a section."""
    return Heading(text)


def note(*parts: Inline) -> Note:
    """Return a line in small type, as below a table."""
    return Note(parts)


def sample(title: str, *texts: tuple[str, Cell], text: str = "") -> Sample:
    """Return a text that a model read or wrote: texts each with its heading, below a title and a text of its own."""
    return Sample(title, text, texts)


def details(summary: str, *parts: Parts) -> Details:
    """Return blocks that a click opens."""
    return Details(summary, _blocks(parts))


def _blocks(parts: Iterable[Parts]) -> tuple[Block, ...]:
    found: list[Block] = []
    for part in parts:
        if isinstance(part, Block):
            found.append(part)
        elif part:
            found += part
    for one in found:
        if not isinstance(one, Block):
            raise TypeError(f"{one!r} is no block: text goes into paragraph(), the title of a part into heading()")
    return tuple(found)
