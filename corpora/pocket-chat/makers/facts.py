"""What is asked and answered: a fact as a question with an answer, and choices that depend on nothing but names."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Fact", "Record", "choose", "cut_list", "draw", "sentences", "upper_first"]

Record = dict[str, object]
T = TypeVar("T")
ABBREVIATIONS = re.compile(
    r"(?:\b[A-Z]|\b(?:etc|e\.g|i\.e|vs|Inc|Ltd|Corp|Co|Dr|Mr|St|No|ca|cf|approx|Jr|Prof|U\.S|Univ|eg|ie))\.$"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One question and its answer.

    `key` is of what is asked, whatever the wording: no two conversations share one. The answer is `form` with `value` in place of
    its braces; facts of one `group` have values that fit each other's forms, so that a wrong answer can be made. `wrong` has values
    that are wrong for certain, where the group cannot give any, and `wrong_way` is a whole answer that does something else than
    what was asked.
    """

    kind: str
    key: str
    group: str
    question: str
    form: str
    value: str
    licence: str
    origin: str
    follow_up: tuple[str, str] | None = None
    asks_again: str = ""
    wrong: tuple[str, ...] = ()
    wrong_way: str = ""

    def answer(self, value: str | None = None) -> str:
        """Return the answer, or what it would be with another value."""
        return self.form.replace("{}", self.value if value is None else value)


def draw(*names: object) -> int:
    """Return a number of 64 bits that depends on these names alone."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, names)).encode(), digest_size=8).digest(), "big")


def choose(options: Sequence[T], *names: object) -> T:
    """Return one of the options, by the names."""
    return options[draw(*names) % len(options)]


def sentences(text: str) -> list[str]:
    """Cut a paragraph into sentences; what ends without a mark is not one, and an abbreviation does not end one."""
    found: list[str] = []
    start = 0
    for end in re.finditer(r"[.!?](?=\s+[A-Z\"(]|\s*$)", text):
        piece = text[start : end.end()].strip()
        if not ABBREVIATIONS.search(piece):
            found.append(piece)
            start = end.end()
    return found


def cut_list(text: str, most: int) -> str:
    """Return a list's first entries, as many as fit into `most` characters."""
    if len(text) <= most:
        return text
    cut = max(text.rfind(mark, 0, most) for mark in (";", ","))
    return text[: max(cut, 0)].strip()


def upper_first(text: str) -> str:
    """Return the text with a capital at its beginning."""
    return text[:1].upper() + text[1:]
