"""Blocks as HTML: text is escaped, and each number can be asked where it is from, by mouse, keyboard and touch, without scripts."""

from collections.abc import Callable, Sequence
from html import escape

from pellucid.report.blocks import (
    Block,
    Cell,
    Details,
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
from pellucid.report.facts import Fact

__all__ = ["Html", "render"]


class Html:
    """Turns blocks into HTML, and remembers the numbers in the order of their anchors: the first is `n1`.

    `draw` returns the HTML of a figure's drawing; without it the SVG itself is put in.
    """

    def __init__(self, draw: Callable[[Figure], str] | None = None) -> None:
        self.numbers: list[Fact] = []
        self._draw = draw or (lambda figure: figure.drawing.svg)

    def blocks(self, blocks: Sequence[Block]) -> str:
        """Return blocks one after the other."""
        return "".join(map(self.block, blocks))

    def block(self, block: Block) -> str:
        """Return one block."""
        match block:
            case Section():
                return f'<section id="{escape(block.name)}"><h2>{escape(block.title)}</h2>{self.blocks(block.blocks)}</section>'
            case Heading():
                return f"<h3>{escape(block.text)}</h3>"
            case Paragraph():
                return f"<p>{self.line(block.parts)}</p>"
            case Note():
                return f'<p class="note {block.kind}">{self.line(block.parts)}</p>'
            case Details():
                return f"<details><summary>{escape(block.summary)}</summary>{self.blocks(block.blocks)}</details>"
            case Table():
                return self._table(block)
            case Figure():
                return self._figure(block)
            case Sample():
                return self._sample(block)

    def line(self, parts: Sequence[Inline]) -> str:
        """Return a line of text with the numbers in it."""
        return "".join(map(self.cell, parts))

    def cell(self, content: Cell) -> str:
        """Return a cell's content. A number is a link to itself; beside it stand its file, its place there, and its command."""
        if content is None:
            return '<span class="none">–</span>'
        if isinstance(content, str):
            return escape(content)
        self.numbers.append(content)
        number, file = len(self.numbers), escape(content.file)
        command = f"<code>{escape(content.command)}</code>" if content.command else ""
        return (
            f'<span class="n"><a class="fact" id="n{number}" href="#n{number}" aria-describedby="s{number}">'
            f'{escape(content.text)}</a><span class="src" id="s{number}" role="tooltip"><a href="../{file}">{file}</a> '
            f"<i>{escape(content.pointer)}</i>{command}</span></span>"
        )

    def _table(self, table: Table) -> str:
        head = "".join(f'<th scope="col"{_number(place, table)}>{escape(name)}</th>' for place, name in enumerate(table.columns))
        body = "".join(self._row(row, table) for row in table.rows)
        caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
        return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

    def _row(self, row: Row, table: Table) -> str:
        cells = [f"<td{_number(place, table)}>{self.cell(content)}</td>" for place, content in enumerate(row.cells)]
        if row.mark:
            cells[0] = cells[0].replace("<td>", f'<td><i class="mark" style="background:{escape(row.mark)}"></i>', 1)
        return f"<tr{_class(row.kind)}>{''.join(cells)}</tr>"

    def _figure(self, figure: Figure) -> str:
        where = f"{figure.file}#{figure.pointer}" if figure.pointer else figure.file
        source = f' <a class="source" href="../{escape(figure.file)}">{escape(where)}</a>' if figure.file else ""
        return (
            f'<figure role="img" aria-label="{escape(figure.caption)}">{self._draw(figure)}'
            f"<figcaption>{escape(figure.caption)}{source}</figcaption></figure>"
        )

    def _sample(self, sample: Sample) -> str:
        own = f"<p>{escape(sample.text)}</p>" if sample.text else ""
        texts = "".join(
            f'<div><p class="which">{escape(title)}</p><pre>{self.cell(text)}</pre></div>' for title, text in sample.texts
        )
        return f'<article><p class="which">{escape(sample.title)}</p>{own}<div class="pair">{texts}</div></article>'


def render(*blocks: Block) -> str:
    """Return blocks as HTML by themselves: their numbers are counted from 1."""
    return Html().blocks(blocks)


def _number(place: int, table: Table) -> str:
    return _class("number") if place >= table.numbers_from else ""


def _class(name: str) -> str:
    return f' class="{escape(name)}"' if name else ""
