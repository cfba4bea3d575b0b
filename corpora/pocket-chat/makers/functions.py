"""What a function does: entries of the manuals of Maxima and GAP with their first sentence."""

import re
from collections.abc import Iterator

from makers.facts import Fact, choose, sentences

__all__ = ["gap_functions", "maxima_functions"]

ASKED = (
    "What does the {} function {} do?",
    "In {}, what does the function {} do?",
    "What is the {} function {} for?",
)
UNFIT = re.compile(r"[\[\]{}\\‣;:=∗$^_]|\(\d|user@|://|gap>|%|\.\.\.|, \)|\(see|\bChapter\b|\d\.\d|\bbelow\b|\babove\b|following")


def maxima_functions(rows: list[dict[str, str]]) -> Iterator[Fact]:
    """Yield the functions of Maxima whose entry begins with a verb: Returns, Computes, …"""
    pattern = re.compile(r"^Function: ([a-z]\w+) \([^\n]*\) ¶\n\n([A-Z][a-z]+s [^\n]+)", re.M)
    yield from functions(rows, pattern, "Maxima")


def gap_functions(rows: list[dict[str, str]]) -> Iterator[Fact]:
    """Yield the functions of GAP whose entry begins with a verb, or with the function's name and a verb."""
    pattern = re.compile(
        r"^‣ ([A-Z][A-Za-z]*[a-z][A-Za-z]*)\([^\n]*\( (?:function|operation|attribute|property)\)\n\n(?:\1 )?([a-z]+s [^\n]+)", re.M
    )
    yield from functions(rows, pattern, "GAP")


def functions(rows: list[dict[str, str]], pattern: re.Pattern[str], system: str) -> Iterator[Fact]:
    """Yield a fact for each match of a name and a paragraph that begins with a verb."""
    seen: set[str] = set()
    for row in rows:
        for name, body in pattern.findall(row["text"]):
            found = sentences(body)
            if name in seen or not found or UNFIT.search(found[0]) or not 30 <= len(found[0]) <= 220:
                continue
            if re.match(r"(?:This|is|has|was|Is|Has|Does|As|Sometimes|Always)\b", found[0]) or found[0].count("(") != found[
                0
            ].count(")"):
                continue
            seen.add(name)
            yield Fact(
                kind="function",
                key=f"function/{system}/{name}",
                group=f"function/{system}",
                question=choose(ASKED, system, name).format(system, name),
                form=f"The {system} function {name} {{}}",
                value=found[0][0].lower() + found[0][1:],
                licence=row["licence"],
                origin=row["origin"],
            )
