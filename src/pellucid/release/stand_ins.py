"""Pages in the place of those that a release leaves out and that the report links to, so that a link says why it leads nowhere."""

from dataclasses import replace
from html import escape
from pathlib import Path

from pellucid.core.excerpt import visible
from pellucid.core.files import sha256_file, write_bytes
from pellucid.release.selection import Selection

__all__ = ["write_stand_ins"]

_LINKED = ("report/data.html",)


def write_stand_ins(selection: Selection, out: Path) -> list[str]:
    """Write a page for each linked one that is left out, note its digest there, and return the paths."""
    written = []
    for index, one in enumerate(selection.left_out):
        if one.path in _LINKED:
            write_bytes(out / one.path, _page(one.path, one.why).encode())
            selection.left_out[index] = replace(one, stand_in=sha256_file(out / one.path))
            written.append(one.path)
    return written


def _page(path: str, why: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        "<title>Left out of this release</title></head><body>"
        f"<h1>Left out of this release</h1><p><code>{escape(path)}</code>: {escape(visible(why))}.</p>"
        '<p>Size and SHA-256 of the page that the run has are in <a href="../release.json">release.json</a>. '
        'The sources have cards in <a href="../data-cards/">data-cards</a>. Back to the <a href="index.html">report</a>.</p>'
        "</body></html>\n"
    )
