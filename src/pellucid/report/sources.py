"""Where numbers are from, told shortly: those of a column that lie alike in a file are one line, with `*` for what differs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from pellucid.report.blocks import Block, Cards, Cell, Details, Note, Paragraph, Sample, Section, Table, inlines
from pellucid.report.facts import Fact

__all__ = ["Source", "sources_of", "where"]

_MOST_NAMES = 4


@dataclass(frozen=True)
class Source:
    """Numbers of a section that lie alike: what they are called there, their file, place and command.

    `places` are their places among the numbers of the section, counted from 0.
    """

    names: tuple[str, ...]
    file: str
    pointer: str
    command: str
    places: tuple[int, ...]

    @property
    def title(self) -> str:
        """What the numbers are called, the first few of them."""
        more = len(self.names) - _MOST_NAMES
        return ", ".join(self.names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def where(file: str, pointer: str) -> str:
    """Return a file and a place in it as one text."""
    return f"{file}#{pointer}" if pointer else file


def sources_of(section: Section) -> list[Source]:
    """Return where a section's numbers are from, in the order in which they first stand there."""
    groups: dict[tuple[int, str, int, str], list[tuple[int, str, Fact]]] = {}
    place = count()
    for part, block in enumerate(_flat(section.blocks)):
        by_column = isinstance(block, Table) and not _is_list(block)
        for name, fact in _named(block):
            tokens = fact.pointer.split("/")
            # In a table of many columns the column says what a number is, elsewhere the last key, unless it only counts.
            what = name if by_column else "*" if tokens[-1].isdigit() else tokens[-1]
            groups.setdefault((part, _shape(fact.file), len(tokens), what), []).append((next(place), name, fact))
    return [_source(group) for group in groups.values()]


def _shape(file: str) -> str:
    """Manifests lie alike in many folders."""
    return "manifest.json" if file.endswith("/manifest.json") else file


def _source(group: Sequence[tuple[int, str, Fact]]) -> Source:
    facts = [fact for _, _, fact in group]
    names = tuple(dict.fromkeys(name for _, name, _ in group if name))
    file, pointer = (_common([getattr(fact, key) for fact in facts], "/") for key in ("file", "pointer"))
    return Source(names, file, pointer, _commands([fact.command for fact in facts]), tuple(place for place, _, _ in group))


def _common(texts: Sequence[str], separator: str) -> str:
    """Return what texts of as many parts share, with `*` for parts that differ."""
    split = [text.split(separator) for text in dict.fromkeys(texts)]
    if len({len(one) for one in split}) > 1:
        return split[0][0] + separator + "*" if separator == "/" else "; ".join(dict.fromkeys(texts))
    return separator.join(same[0] if len(set(same)) == 1 else "*" for same in zip(*split, strict=True))


def _commands(commands: Sequence[str]) -> str:
    """Return what commands share, with `*` for words that differ, or for the parts of a path that do."""
    split = [command.split(" ") for command in dict.fromkeys(commands)]
    if len({len(words) for words in split}) > 1:
        return _common(commands, " ")
    return " ".join(
        _common(words, "/") if len({word.count("/") for word in words}) == 1 else "*" for words in zip(*split, strict=True)
    )


def _flat(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Section | Details):
            yield from _flat(block.blocks)
        else:
            yield block


def _named(block: Block) -> Iterator[tuple[str, Fact]]:
    """Yield the numbers of a block with what they are called: by their column, or by their row in a table of two columns."""
    if isinstance(block, Table):
        by_row = _is_list(block)
        for row in block.rows:
            first = _words(row.cells[0])
            for place, cell in enumerate(row.cells):
                name = first if by_row else block.columns[place]
                yield from ((name, one) for one in inlines(cell) if isinstance(one, Fact))
    elif isinstance(block, Cards):
        for card in block.cards:
            for line in (card.answer, *card.lines):
                yield from ((card.title, one) for one in line if isinstance(one, Fact))
    elif isinstance(block, Paragraph | Note):
        yield from (("in the text", one) for one in block.parts if isinstance(one, Fact))
    elif isinstance(block, Sample):
        yield from (
            (re.sub(r"\s+", " ", title), one) for title, cell in block.texts for one in inlines(cell) if isinstance(one, Fact)
        )


def _is_list(table: Table) -> bool:
    """Tell whether a table is a list of names and values: its rows say what the values are, not its columns."""
    return len(table.columns) <= 2 or not any(table.columns[1:])


def _words(cell: Cell) -> str:
    return "".join(one.text if isinstance(one, Fact) else one for one in inlines(cell))
