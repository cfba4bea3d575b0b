"""Blocks as HTML: text is escaped, and each number can be asked where it is from, by mouse, keyboard and touch, without scripts."""

from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType

from pellucid.core.excerpt import visible
from pellucid.report.blocks import (
    Block,
    Card,
    Cards,
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
    inlines,
)
from pellucid.report.decimals import paddings
from pellucid.report.drawings import FOLDER, in_page
from pellucid.report.facts import Fact
from pellucid.report.sources import where

__all__ = ["HOW_TO_ASK", "Html", "as_html", "render"]

HOW_TO_ASK = (
    "An underlined number knows where it is from: point at it, tap it or move to it with the Tab key. The others are counted or "
    "worked out from these."
)
"""What pages say of their numbers."""

_FEW_ROWS = 48  # of a figure's numbers that are shown below it
_FEW_COLUMNS = 4  # of a table that is no wider than its words
# On a phone a short table that is wider than the window is shown as a list: each row below its name. Widths in letters.
_STACKED_ROWS, _STACKED_COLUMNS, _PHONE_LETTERS, _HALF_LETTERS = 12, 7, 40, 18
# A table that is not parted on paper: a third of a page at most. Letters in a line of all columns together.
_SHORT_ROWS, _SHORT_LINES, _PAPER_LETTERS = 16, 24, 110


class Html:
    """Turns blocks into HTML, and remembers the numbers in the order of their anchors: the first is `n1`.

    `names` are the files of figures, without their endings; figures without a name have no files, only the drawing.
    """

    def __init__(self, names: Mapping[Figure, str] = MappingProxyType({})) -> None:
        self.numbers: list[Fact] = []
        self._names = names
        self._drawn = 0

    def blocks(self, blocks: Sequence[Block]) -> str:
        """Return blocks one after the other."""
        return "".join(map(self.block, blocks))

    def block(self, block: Block) -> str:
        """Return one block."""
        match block:
            case Section():
                return f'<section id="{escape(block.name)}"><h2>{as_html(block.title)}</h2>{self.blocks(block.blocks)}</section>'
            case Heading():
                return f"<h3>{as_html(block.text)}</h3>"
            case Paragraph():
                return f"<p>{self.cell(block.parts)}</p>"
            case Note():
                return f'<p class="note {block.kind}">{self.cell(block.parts)}</p>'
            case Details():
                return f"<details><summary>{as_html(block.summary)}</summary>{self.blocks(block.blocks)}</details>"
            case Table():
                return self._table(block)
            case Figure():
                return self._figure(block)
            case Sample():
                return self._sample(block)
            case Cards():
                return f'<div class="cards">{"".join(map(self._card, block.cards))}</div>'

    def cell(self, content: Cell) -> str:
        """Return a cell's content. A number can be focussed; beside it stand its file, its place there, and its command."""
        return '<span class="none">–</span>' if content is None else "".join(map(self._inline, inlines(content)))

    def _inline(self, content: Inline) -> str:
        if isinstance(content, str):
            return as_html(content)
        self.numbers.append(content)
        number, file = len(self.numbers), escape(content.file)
        command = f"<code>{escape(content.command)}</code>" if content.command else ""
        return (
            f'<span class="n"><a class="fact" id="n{number}" tabindex="0" role="button" aria-describedby="s{number}">'
            f'{escape(content.text)}</a><span class="src" id="s{number}" role="tooltip"><a href="../{file}">{file}</a> '
            f"<i>{as_html(content.pointer)}</i>{command}</span></span>"
        )

    def _card(self, card: Card) -> str:
        answer = self.cell(card.answer)
        lines = "".join(f"<p>{self.cell(line)}</p>" for line in card.lines)
        return f"<div{_class(f'card {card.kind}'.strip())}><h3>{as_html(card.title)}</h3><b>{answer}</b>{lines}</div>"

    def _table(self, table: Table) -> str:
        head = "".join(f'<th scope="col"{_number(place, table)}>{as_html(name)}</th>' for place, name in enumerate(table.columns))
        padded = paddings(table)
        heads = _heads(table)
        body = "".join(self._row(row, heads, table, padded[number]) for number, row in enumerate(table.rows))
        caption = f"<figcaption>{as_html(table.caption)}</figcaption>" if table.caption else ""
        label = as_html(table.caption or ", ".join(filter(None, table.columns)) or "Table")
        few = _class(" ".join(_kinds(table)))
        short = " short" if len(table.rows) <= _SHORT_ROWS and _lines(table) <= _SHORT_LINES else ""
        return (
            f'<figure class="table{short}"><div class="scroll" tabindex="0" role="region" aria-label="{label}">'
            f"<table{few}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{caption}</figure>"
        )

    def _row(self, row: Row, heads: Sequence[str], table: Table, padded: Sequence[str]) -> str:
        cells = []
        for place, content in enumerate(row.cells):
            pad = f' data-pad="{escape(padded[place])}"' if padded[place] else ""
            mark = f'<i class="mark" style="background:{escape(row.mark)}"></i>' if row.mark and place == 0 else ""
            cells.append(f"<td{_number(place, table)}{heads[place]}{pad}>{mark}{self.cell(content)}</td>")
        return f"<tr{_class(row.kind)}>{''.join(cells)}</tr>"

    def _figure(self, figure: Figure) -> str:
        self._drawn += 1
        name = self._names.get(figure)
        drawn = in_page(figure, f"f{self._drawn}")
        links = [f'<a class="source" href="../{escape(figure.file)}">{escape(where(figure.file, figure.pointer))}</a>']
        links = links if figure.file else []
        numbers = ""
        if name is not None:
            links += [f'<a href="{FOLDER}/{name}.{ending}">{ending.upper()}</a>' for ending in ("svg", "csv")]
            numbers = self._numbers_behind(figure)
        told = f'<span class="from">{" · ".join(links)}</span>' if links else ""
        return (
            f'<figure class="drawing"><div class="scroll" tabindex="0" role="region" aria-label="{as_html(figure.caption)}">{drawn}'
            f"</div><figcaption>{as_html(figure.caption)} {told}</figcaption>{numbers}</figure>"
        )

    def _numbers_behind(self, figure: Figure) -> str:
        drawing = figure.drawing
        if not drawing.rows or len(drawing.rows) > _FEW_ROWS:
            return ""
        texts = [tuple(None if value is None else _plain(value) for value in row) for row in drawing.rows]
        numbers_from = next((n for n, value in enumerate(drawing.rows[0]) if not isinstance(value, str)), 9)
        shown = Table(drawing.columns, tuple(map(Row, texts)), "", numbers_from)
        return f"<details><summary>The numbers behind it</summary>{self._table(shown)}</details>"

    def _sample(self, sample: Sample) -> str:
        own = f"<p>{as_html(sample.text)}</p>" if sample.text else ""
        texts = "".join(
            f'<div><p class="which">{as_html(title)}</p><pre dir="auto">{self.cell(text)}</pre></div>'
            for title, text in sample.texts
        )
        return f'<article><p class="which">{as_html(sample.title)}</p>{own}<div class="pair">{texts}</div></article>'


def as_html(text: str) -> str:
    """Return any text as HTML that shows it: nothing in it is markup, unseen or turns round what stands beside it."""
    return escape(visible(text))


def render(*blocks: Block) -> str:
    """Return blocks as HTML by themselves: their numbers are counted from 1."""
    return Html().blocks(blocks)


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _widths(table: Table) -> list[int]:
    """Return the letters of each column's longest cell; of its head only the longest word counts."""
    return [
        max(
            [len(word) for word in head.split()] + [_letters(row.cells[place]) for row in table.rows if place < len(row.cells)],
            default=0,
        )
        for place, head in enumerate(table.columns)
    ]


def _lines(table: Table) -> int:
    """Return about how many lines the rows of a table take on paper, its columns being equally wide."""
    width = _PAPER_LETTERS // max(1, len(table.columns))
    return sum(max((-(-_letters(one) // width) for one in row.cells), default=1) for row in table.rows)


def _letters(cell: Cell) -> int:
    return sum(len(one if isinstance(one, str) else one.text) for one in inlines(cell))


def _kinds(table: Table) -> list[str]:
    """Return how a table is laid out: `few` columns, `pairs` of names and values, `stacked` into lists on a phone."""
    kinds = ["few"] if len(table.columns) < _FEW_COLUMNS else []
    if len(table.columns) == 2:
        return [*kinds, "pairs"]
    is_short = 2 < len(table.columns) <= _STACKED_COLUMNS and len(table.rows) <= _STACKED_ROWS
    is_wide = sum(_widths(table)) + 2 * len(table.columns) > _PHONE_LETTERS
    return [*kinds, "stacked"] if is_short and is_wide else kinds


def _heads(table: Table) -> list[str]:
    """Return for each column of a table that may become a list its head, and whether its cells need a line of their own."""
    if "stacked" not in _kinds(table):
        return [""] * len(table.columns)
    heads = [f' data-head="{as_html(head)}"' if head and place else "" for place, head in enumerate(table.columns)]
    wide = [len(head) + width > _HALF_LETTERS for head, width in zip(table.columns, _widths(table), strict=True)]
    return [head + (" data-long" if place and wide[place] else "") for place, head in enumerate(heads)]


def _number(place: int, table: Table) -> str:
    return _class("number") if place >= table.numbers_from else ""


def _class(name: str) -> str:
    return f' class="{escape(name)}"' if name else ""
