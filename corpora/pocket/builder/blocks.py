"""A page as a list of blocks, and how blocks become documents of a bounded size."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["MAX_BYTES", "Block", "Page", "plain_blocks", "render", "split_pages"]

MAX_BYTES = 16_000  # longer works are cut at headings, so that every file has many documents to hold some out
TIGHT = {"li", "row", "line"}


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading or the like: `kind` is h, p, li, row, line (verse, a turn), dialogue or pre (kept as it is)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """One file, or one natural part of it, in one language. `origin` is PACKAGE/path; `part` names a part of the file."""

    origin: str
    language: str
    licence: str
    blocks: list[Block]
    part: str = ""


def plain_blocks(text: str) -> list[Block]:
    """Cut plain text at empty lines; the lines of a paragraph are joined."""
    return [Block("p", " ".join(piece.split())) for piece in re.split(r"\n\s*\n", text) if piece.strip()]


def render(blocks: Iterable[Block]) -> str:
    """Return the text of blocks: list items and rows on lines of their own, everything else set apart by an empty line."""
    out: list[str] = []
    before = ""
    for block in blocks:
        text = f"- {block.text}" if block.kind == "li" else block.text
        if out:
            out.append("\n" if block.kind in TIGHT and before in TIGHT else "\n\n")
        out.append(text)
        before = block.kind
    return "".join(out)


def split_pages(blocks: list[Block], max_bytes: int = MAX_BYTES) -> list[list[Block]]:
    """Cut a page into pieces of at most `max_bytes`: at headings where a piece is big enough, else into parts of like size."""
    fine = [piece for block in blocks for piece in cut_block(block, max_bytes)]
    total = weight(fine)
    if total <= max_bytes:
        return [fine]
    limit = min(max_bytes, total // (total // max_bytes + 1) + 1500)
    pieces: list[list[Block]] = [[]]
    size, left = 0, total
    for block in fine:
        grown = weight([block])
        piece = pieces[-1]
        at_heading = block.kind == "h" and size >= max_bytes // 3 and left >= 1000
        if piece and (at_heading or size + grown > limit):
            heading = [piece.pop()] if piece[-1].kind == "h" and len(piece) > 1 and block.kind != "h" else []
            pieces.append(heading)
            size = weight(heading)
        pieces[-1].append(block)
        size += grown
        left -= grown
    if weight(pieces[-1]) < 1000 and weight(pieces[-2]) + weight(pieces[-1]) <= max_bytes:
        pieces[-2] += pieces.pop()
    return pieces


def weight(blocks: list[Block]) -> int:
    """Return the bytes that blocks come to when rendered, at most."""
    return sum(len(block.text.encode()) + 2 for block in blocks)


def cut_block(block: Block, max_bytes: int) -> Iterator[Block]:
    """Cut one block that is too long by itself: a listing between lines, a paragraph between sentences."""
    if len(block.text.encode()) + 2 <= max_bytes:
        yield block
        return
    parts = block.text.split("\n") if block.kind == "pre" else re.split(r"(?<=[.!?;:]) ", block.text)
    glue = "\n" if block.kind == "pre" else " "
    taken: list[str] = []
    size = 0
    for part in parts:
        grown = len(part.encode()) + 1
        if taken and size + grown > max_bytes - 2:
            yield Block(block.kind, glue.join(taken))
            taken, size = [], 0
        taken.append(part)
        size += grown
    yield Block(block.kind, glue.join(taken))
