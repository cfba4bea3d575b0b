"""Figures as files: names, SVG that says what it shows, the numbers behind as CSV, and SVG that can stand in a page with others."""

import csv
import io
import re
from collections.abc import Sequence
from html import escape

from pellucid.report.blocks import Block, Details, Drawing, Figure, Section

__all__ = ["FOLDER", "as_csv", "figures_of", "in_page", "name_figures", "standalone"]

FOLDER = "figures"
_ID, _USE = re.compile(r' id="([^"]*)"'), re.compile(r'(href="#|url\(#)([^")]+)')
_LONGEST_NAME = 60


def figures_of(blocks: Sequence[Block]) -> list[Figure]:
    """Return the figures of blocks in the order of the page."""
    found: list[Figure] = []
    for block in blocks:
        if isinstance(block, Figure):
            found.append(block)
        elif isinstance(block, Section | Details):
            found += figures_of(block.blocks)
    return found


def name_figures(sections: Sequence[Section]) -> dict[Figure, str]:
    """Return a file name without its ending for each figure: of its section and caption, numbered where two would be the same."""
    names: dict[Figure, str] = {}
    for section in sections:
        for figure in figures_of([section]):
            words = re.sub(r"[^a-z0-9]+", "-", f"{section.name} {figure.caption}".lower()).strip("-")[:_LONGEST_NAME].strip("-")
            same = sum(name == words or name.startswith(f"{words}--") for name in names.values())
            names.setdefault(figure, f"{words}--{same + 1}" if same else words)
    return names


def as_csv(drawing: Drawing) -> str:
    """Return the numbers behind a drawing as CSV (RFC 4180 with line feeds): every digit of them, nothing where there is none."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(drawing.columns)
    writer.writerows(drawing.rows)
    return buffer.getvalue()


def standalone(figure: Figure) -> str:
    """Return a drawing as a file of its own, with a title and what it was drawn from."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{_told(figure, "")}\n'


def in_page(figure: Figure, name: str) -> str:
    """Return a drawing to stand in a page: its identifiers are its own, its greys follow the page's colours."""
    svg = _told(figure, name)
    used = {target for _, target in _USE.findall(svg)} | {f"{name}-title", f"{name}-desc"}
    # Most identifiers only name what matplotlib drew.
    svg = _ID.sub(lambda found: f' id="{_own(name, found[1])}"' if found[1] in used else "", svg)
    svg = _USE.sub(lambda found: f"{found[1]}{_own(name, found[2])}", svg)
    svg = re.sub(r'<defs>\s*<style type="text/css">[^<]*</style>\s*</defs>', "", svg)
    svg = re.sub(r" version=\"1.1\"| xmlns:xlink=\"[^\"]*\"", "", svg).replace("xlink:href", "href")
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    for grey, variable in _GREYS:
        svg = svg.replace(f": {grey}", f": var({variable})")
    return svg


# Of `figures`: letters, faint lines, grid and axes.
_GREYS = (("#33383d", "--ink"), ("#b9c4cc", "--faint"), ("#e3e6e8", "--line"), ("#8b8f94", "--soft"))


def _own(name: str, identifier: str) -> str:
    return identifier if identifier.startswith(f"{name}-") else f"{name}-{identifier}"


def _told(figure: Figure, name: str) -> str:
    """Return the SVG with a title and a description as its first children."""
    prefix = f"{name}-" if name else ""
    source = f"{figure.file}#{figure.pointer}" if figure.pointer else figure.file
    columns = ", ".join(column for column in figure.drawing.columns if column)
    told = f"Drawn from {source}: {columns}; {len(figure.drawing.rows)} rows." if source else f"{columns}."
    head, _, rest = figure.drawing.svg.partition(">")
    return (
        f'{head} role="img" aria-labelledby="{prefix}title {prefix}desc"><title id="{prefix}title">{escape(figure.caption)}</title>'
        f'<desc id="{prefix}desc">{escape(told)}</desc>{rest.strip()}'
    )
