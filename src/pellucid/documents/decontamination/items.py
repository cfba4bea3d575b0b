"""A record of a benchmark → the texts by which a document that holds it is recognised."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Item", "make_item"]

QUESTIONS = {"question", "query", "prompt", "text", "context", "context_options", "ctx", "input", "instruction", "problem", "goal"}
QUESTIONS |= {"sentence", "passage", "premise", "story", "turns"}
CHOICES = {"choices", "options", "endings", "mc1_targets", "mc2_targets", "sol1", "sol2"}
_CHOICE_COLUMN = re.compile(r"(choice|option|ending|answer)[ _]?[0-9a-e]|[a-e]", re.IGNORECASE)
# What a prompt puts before a question is no part of it.
_LABEL = re.compile(r"\s*(?:question|q|passage|context|problem|input|prompt)\s*:\s*", re.IGNORECASE)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Item:
    """Item `number` (from 0) of a benchmark.

    `questions` are told by any run of n words, or whole where they are shorter than that; `answers` by runs of n words only, since
    a short answer is ordinary text.
    """

    benchmark: str
    number: int
    questions: tuple[str, ...]
    answers: tuple[str, ...] = ()


def make_item(benchmark: str, number: int, record: Mapping[str, Any], ngram_words: int) -> Item | None:
    """Return the item that a record is, or None when it holds no text.

    Fields with a name like question, prompt or context are questions; where there are choices, so are the question with each choice
    after it, with all of them, and with all of them lettered, as prompts show them. Where no field has such a name, all texts are
    questions. Other texts are answers. Web addresses count as nothing.
    """
    questions: list[str] = []
    choices: list[str] = []
    answers: list[str] = []
    for name, value in record.items():
        texts = list(_texts(value))
        if name.lower() in QUESTIONS:
            questions += texts
        elif name.lower() in CHOICES or _CHOICE_COLUMN.fullmatch(name):
            choices += texts
        else:
            answers += texts
    if not questions:
        questions, choices, answers = choices + answers, [], []
    joined = _joined(questions, choices, ngram_words)
    if not questions:
        return None
    return Item(benchmark, number, tuple(dict.fromkeys(questions + joined)), tuple(dict.fromkeys([*choices, *answers])))


def _joined(questions: list[str], choices: list[str], ngram_words: int) -> list[str]:
    """Return the question with its choices in the ways in which documents show them; of a long question only the end."""
    if not choices:
        return []
    joined: list[str] = []
    for question in questions:
        words = question.split()
        end = question if len(words) <= ngram_words else " ".join(words[-ngram_words:])
        joined += [f"{end} {choice}" for choice in choices]
        joined.append(" ".join([end, *choices]))
        joined.append(" ".join([end, *(f"{letter}. {choice}" for letter, choice in zip(_LETTERS, choices, strict=False))]))
    return joined


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts inside a value, without labels in front and without those that are a web address."""
    if isinstance(value, str):
        label = _LABEL.match(value)
        text = value[label.end() :] if label else value
        if text.strip() and not (text.startswith(("http://", "https://")) and len(text.split()) == 1):
            yield text
    elif isinstance(value, Mapping):
        # {"text": [...], "label": ["A", ...]}: the labels are no text.
        for inner in [value["text"]] if "text" in value else value.values():
            yield from _texts(inner)
    elif isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        for inner in value:
            yield from _texts(inner)
