"""Numbers of a column aligned at their decimal points: what each lacks behind its point, to be set but not seen."""

import re

from pellucid.report.blocks import Cell, Table, inlines
from pellucid.report.facts import Fact

__all__ = ["paddings"]

_NUMBER = re.compile(r"[-−+]?[\d\s,\u202f]*\d(\.\d+)?")


def paddings(table: Table) -> list[list[str]]:
    """Return for each row and column what has to follow a number for its decimal point to stand below the others of its column.

    Columns in which something else than plain numbers stands, or in which all have as many digits, are left as they are.
    """
    padded = [["" for _ in row.cells] for row in table.rows]
    for place in range(table.numbers_from, len(table.columns)):
        tails: dict[int, str] = {}
        for number, row in enumerate(table.rows):
            text = _text(row.cells[place]) if place < len(row.cells) else ""
            if not text or text == "–":
                continue
            found = _NUMBER.fullmatch(text)
            if found is None:
                break
            tails[number] = found[1] or ""
        else:
            longest = max(map(len, tails.values()), default=0)
            for number, tail in tails.items():
                missing = longest - len(tail)
                padded[number][place] = ("." if not tail else "") + "0" * (missing - (not tail)) if missing else ""
    return padded


def _text(cell: Cell) -> str:
    return "".join(one.text if isinstance(one, Fact) else one for one in inlines(cell))
