"""HTML pieces: text is escaped, facts become links to the file that they were read from."""

from collections.abc import Iterable, Sequence
from html import escape

from pellucid.report.facts import Fact, canonical

__all__ = ["Cell", "cell", "figure", "section", "table"]

Cell = Fact | str | None


def cell(content: Cell) -> str:
    """Return the HTML of a table cell's content; a fact carries file, pointer and stored value, and links to the file."""
    if content is None:
        return '<span class="none">–</span>'
    if isinstance(content, str):
        return escape(content)
    file, pointer = escape(content.file), escape(content.pointer)
    return (
        f'<a class="fact" href="../{file}" title="{file}#{pointer}" data-file="{file}" data-pointer="{pointer}" '
        f'data-value="{escape(canonical(content.value))}">{escape(content.text)}</a>'
    )


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    caption: str,
    numbers_from: int = 1,
    total: bool = False,
    marks: Sequence[str] = (),
) -> str:
    """Return a table; columns from `numbers_from` on are right-aligned; with `total` the last row is set apart.

    `marks` are colours that a chart gives to the rows: a square of its colour stands before the row's first cell.
    """
    head = "".join(f'<th scope="col"{_number(i, numbers_from)}>{escape(name)}</th>' for i, name in enumerate(columns))
    body = [
        "<tr>" + "".join(f"<td{_number(i, numbers_from)}>{cell(content)}</td>" for i, content in enumerate(row)) + "</tr>"
        for row in rows
    ]
    for row, colour in enumerate(marks):
        body[row] = body[row].replace("<td>", f'<td><i class="mark" style="background:{colour}"></i>', 1)
    if total and body:
        body[-1] = body[-1].replace("<tr>", '<tr class="total">', 1)
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _number(index: int, numbers_from: int) -> str:
    return ' class="number"' if index >= numbers_from else ""


def figure(svg: str, caption: str, file: str, pointer: str = "") -> str:
    """Return a figure with its caption and the file that its points were read from."""
    shown = f"{file}#{pointer}" if pointer else file
    return (
        f'<figure role="img" aria-label="{escape(caption)}">{svg}'
        f'<figcaption>{escape(caption)} <a class="source" href="../{escape(file)}">{escape(shown)}</a></figcaption></figure>'
    )


def section(name: str, title: str, *parts: str) -> str:
    """Return a section of the page with its heading."""
    return f'<section id="{escape(name)}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"
