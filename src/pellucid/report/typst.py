"""The report as a PDF for paper and archives, laid out by typst: PDF/A-2a and PDF/UA-1, the same bytes from the same artifacts.

Words reach typst as JSON data, never as markup. Fonts come from typst (Libertinus Serif, DejaVu Sans Mono) and matplotlib (DejaVu
Sans), never from the machine; a character that none of them has is shown as its number, ⟨U+6F22⟩.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from pellucid.core.errors import MissingExtraError
from pellucid.core.excerpt import visible
from pellucid.core.files import write_bytes
from pellucid.report.blocks import (
    Block,
    Cards,
    Cell,
    Details,
    Figure,
    Heading,
    Inline,
    Note,
    Paragraph,
    Sample,
    Section,
    Table,
    inlines,
)
from pellucid.report.decimals import paddings
from pellucid.report.drawings import FOLDER, name_figures, standalone
from pellucid.report.facts import Fact
from pellucid.report.page import Report
from pellucid.report.sources import Source, sources_of, where

__all__ = ["PDF", "printable", "write_pdf"]

PDF = "report.pdf"
_STANDARDS = ["a-2a", "ua-1"]
_FRONT = Section("front", "First page", ())
# Points: of a line of text, of a letter at one point of size; of a table's letters and gaps from the largest that are tried.
_LINE, _LINE_FLIPPED, _LETTER, _SIZES = 470.0, 715.0, 0.5, ((8.6, 5.0), (7.6, 3.5), (6.8, 2.5))
_SMALLEST = (6.2, 2.0)
_LONG_TEXT = 42
_SVG_WIDTH = re.compile(r'<svg [^>]*?width="([\d.]+)pt"')


def write_pdf(report: Report, out: Path) -> None:
    """Write `out/report.pdf`. Raises `MissingExtraError` without typst or matplotlib."""
    try:
        typst = import_module("typst")
    except ImportError as error:
        raise MissingExtraError("typst", "report", "Writing report.pdf") from error
    writer = _Writer(report)
    document = writer.document()
    inputs = {
        "main.typ": files("pellucid.report").joinpath("report.typ").read_bytes(),
        "report.json": orjson.dumps(document),
        **{f"{FOLDER}/{name}.svg": _drawn(figure).encode() for figure, name in writer.names.items()},
    }
    # Folders of fonts are what typst takes; matplotlib's has others than those that are meant.
    with TemporaryDirectory() as folder:
        for font in _fonts():
            copyfile(font, Path(folder) / font.name)
        made = typst.compile(inputs, format="pdf", font_paths=[folder], ignore_system_fonts=True, pdf_standards=_STANDARDS)
    write_bytes(out / PDF, made)


def printable(text: str) -> str:
    """Return a text in which each character has a letter in the PDF's fonts: others are shown by their number."""
    shown = visible(unicodedata.normalize("NFC", text)).replace("\t", "    ")
    return "".join(char if char == "\n" or ord(char) in _letters() else _numbered(char) for char in shown)


def _numbered(char: str) -> str:
    """Return a character's number; of the signs for control characters, that of the character that they stand for."""
    code = ord(char)
    return f"⟨U+{code - 0x2400 if 0x2400 <= code < 0x2420 else code:04X}⟩"


@cache
def _letters() -> frozenset[int]:
    """Return the characters of DejaVu Sans, the font that stands in for others; none of private use, which PDF/A forbids."""
    font = import_module("matplotlib.ft2font").FT2Font(str(_fonts()[0]))
    return frozenset(code for code in font.get_charmap() if unicodedata.category(chr(code)) not in ("Co", "Cn", "Cs"))


def _fonts() -> list[Path]:
    try:
        matplotlib = import_module("matplotlib")
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report", "Writing report.pdf") from error
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return [folder / f"DejaVuSans{style}.ttf" for style in ("", "-Bold", "-Oblique", "-BoldOblique")]


def _drawn(figure: Figure) -> str:
    """Letters in a drawing are the run's words too."""
    return re.sub(r"(?<=>)[^<>]+(?=</text>)", lambda found: printable(found[0]), standalone(figure))


class _Writer:
    """Turns blocks into the values that `report.typ` lays out, and numbers their sources."""

    def __init__(self, report: Report) -> None:
        self.names = name_figures(report.sections)
        self._report = report
        front = Section(_FRONT.name, _FRONT.title, (report.lead, report.cards))
        self._sources = [(section, sources_of(section)) for section in (front, *report.sections)]
        numbered = [source for _, sources in self._sources for source in sources]
        self._number = {id(source): number for number, source in enumerate(numbered)}
        self._next: Iterator[int] = iter(self._number[id(source)] for _, sources in self._sources for source in _in_order(sources))

    def document(self) -> dict[str, Any]:
        """Return the whole report."""
        report = self._report
        front = {
            "name": printable(report.name),
            "description": printable(report.description),
            "date": report.date,
            "lead": self._block(report.lead),
            "cards": self._block(report.cards),
        }
        sections = [
            {"title": printable(section.title), "blocks": list(map(self._block, section.blocks))} for section in report.sections
        ]
        told = [
            {"title": printable(section.title), "lines": list(map(self._line, sources))}
            for section, sources in self._sources
            if sources
        ]
        return {**front, "sections": sections, "sources": told}

    def _line(self, source: Source) -> dict[str, Any]:
        texts = {"title": source.title, "file": source.file, "pointer": source.pointer, "command": source.command}
        return {"number": self._number[id(source)], **{key: _breakable(printable(text)) for key, text in texts.items()}}

    def _block(self, block: Block) -> dict[str, Any]:
        match block:
            case Heading():
                return {"block": "heading", "text": printable(block.text)}
            case Paragraph():
                return {"block": "paragraph", "parts": self._cell(block.parts)}
            case Note():
                return {"block": "note", "parts": self._cell(block.parts)}
            case Table():
                return self._table(block)
            case Figure():
                return self._figure(block)
            case Sample():
                texts = [[printable(title), self._cell(text)] for title, text in block.texts]
                return {"block": "sample", "title": printable(block.title), "text": printable(block.text), "texts": texts}
            case Cards():
                return {"block": "cards", "cards": [self._card(card) for card in block.cards]}
            case Details() | Section():
                summary = block.summary if isinstance(block, Details) else block.title
                return {"block": "details", "summary": printable(summary), "blocks": list(map(self._block, block.blocks))}

    def _card(self, card: Any) -> dict[str, Any]:
        answer, lines = self._cell(card.answer), [self._cell(line) for line in card.lines]
        return {"title": printable(card.title), "answer": answer, "lines": lines, "kind": card.kind}

    def _cell(self, cell: Cell) -> Any:
        return None if cell is None else [self._inline(one) for one in inlines(cell)]

    def _inline(self, one: Inline) -> Any:
        return printable(one) if isinstance(one, str) else {"text": printable(one.text), "source": next(self._next)}

    def _table(self, table: Table) -> dict[str, Any]:
        padded = paddings(table)
        rows: list[dict[str, Any]] = []
        for row, pads in zip(table.rows, padded, strict=True):
            # A row may be shorter than the heads are: what it lacks is left empty.
            short = [""] * (len(table.columns) - len(row.cells))
            cells = [*map(self._cell, row.cells), *short]
            rows.append({"cells": cells, "kind": row.kind, "mark": row.mark, "pads": [*pads, *short]})
        widths, (size, gap), flipped = _fit(table)
        return {
            "block": "table", "columns": list(map(printable, table.columns)), "rows": rows, "caption": printable(table.caption),
            "numbers_from": table.numbers_from, "widths": widths, "size": size, "gap": gap, "flipped": flipped,
        }  # fmt: skip

    def _figure(self, figure: Figure) -> dict[str, Any]:
        found = _SVG_WIDTH.search(figure.drawing.svg)
        width = min(float(found[1]), _LINE) if found else _LINE
        told = printable(where(figure.file, figure.pointer)) if figure.file else ""
        return {
            "block": "figure", "path": f"{FOLDER}/{self.names[figure]}.svg", "caption": printable(figure.caption),
            "alt": printable(figure.caption) or "Figure", "from": told, "width": width,
        }  # fmt: skip


def _in_order(sources: Sequence[Source]) -> list[Source]:
    """Return the source of each number of a section, in the order in which the numbers stand there."""
    placed: Mapping[int, Source] = {place: source for source in sources for place in source.places}
    return [placed[place] for place in sorted(placed)]


def _fit(table: Table) -> tuple[list[str], tuple[float, float], bool]:
    """Return the columns' widths, the size of letters and gaps in points, and whether the table needs a page on its side."""
    letters = [_widest(table, place) for place in range(len(table.columns))]
    long = [place for place, wide in enumerate(letters) if place < table.numbers_from and wide > _LONG_TEXT]

    def fits(size: tuple[float, float], line: float) -> bool:
        return sum(letters) * size[0] * _LETTER + 2 * size[1] * len(letters) <= line

    found = next((size for size in (_SIZES[:1] if long else _SIZES) if fits(size, _LINE)), None)
    if found is not None:
        return ["auto"] * len(letters), found, False
    if long:
        return ["rest" if place in long else "auto" for place in range(len(letters))], _SIZES[0], False
    return ["auto"] * len(letters), next((size for size in _SIZES if fits(size, _LINE_FLIPPED)), _SMALLEST), True


def _widest(table: Table, place: int) -> int:
    """Return the letters of a column's longest cell; of its head only the longest word counts, for heads have several lines."""
    texts = [_words(row.cells[place]) for row in table.rows if place < len(row.cells)]
    return max([*map(len, texts), *map(len, table.columns[place].split())], default=1)


def _words(cell: Cell) -> str:
    return "".join(one.text if isinstance(one, Fact) else one for one in inlines(cell)) or "–"


def _breakable(text: str) -> str:
    """Let long paths break where their parts end."""
    return re.sub(r"(?<=[/._-])(?=[^\s/])", "\u200b", text)
