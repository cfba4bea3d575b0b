"""One question: what the model is shown, what may follow, and which of it is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pellucid.core.errors import DataError
from pellucid.core.units import utf8_bytes
from pellucid.evals.choices.bare import bare_question
from pellucid.evals.results import prompt_digest
from pellucid.evals.subject import Pair

__all__ = ["Item", "Kind", "choice_item", "closing_item", "schema_item", "text_item"]

Kind = Literal["choice", "closing", "text"]
"""Choose among several; say the one right continuation (LAMBADA); predict a text from its beginning."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question. `pairs` are what is scored, one for each choice; `pairs[label]` is the right one.

    `lengths` are (characters, UTF-8 bytes) of each choice as a text of its own, without what joins it to its context: what
    normalised accuracies divide by. `group` is a part of the task (a subject, a language). `bare` are the question and its choices
    themselves where the prompt shows them in another way (as letters).
    """

    id: str
    kind: Kind
    pairs: tuple[Pair, ...]
    lengths: tuple[tuple[int, int], ...]
    label: int = 0
    group: str | None = None
    bare: Mapping[str, Any] | None = None

    @property
    def answer_bytes(self) -> int:
        """UTF-8 bytes of the right continuation as it is scored, the space before it included."""
        return utf8_bytes(self.pairs[self.label].continuation)

    @property
    def text(self) -> str | dict[str, Any]:
        """The item itself: question, choices and right answer without what a prompt puts around them, or the whole text.

        What compares contexts (`schema_item`) has no choices but the right context as its question.
        """
        context, continuation = self.pairs[self.label]
        if self.kind != "choice":
            return context + continuation
        if self.bare is not None:
            return {**self.bare, "answer": self.bare["choices"][self.label]}
        answers = [pair.continuation.strip() for pair in self.pairs]
        choices = {"choices": answers} if len({pair.context for pair in self.pairs}) == 1 else {}
        return {**bare_question(context), **choices, "answer": answers[self.label]}

    @property
    def prompt(self) -> str:
        """Digest of everything that the model is shown."""
        return prompt_digest(*(part for pair in self.pairs for part in pair))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that hold all of it; `from_json` reads them."""
        return {
            "id": self.id,
            "kind": self.kind,
            "group": self.group,
            "label": self.label,
            "pairs": [list(pair) for pair in self.pairs],
            "lengths": [list(one) for one in self.lengths],
            **({"bare": dict(self.bare)} if self.bare is not None else {}),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Item":
        """Return the item that `to_json` wrote."""
        pairs = tuple(Pair(*pair) for pair in raw["pairs"])
        lengths = tuple((one[0], one[1]) for one in raw["lengths"])
        return cls(raw["id"], raw["kind"], pairs, lengths, raw["label"], raw["group"], raw.get("bare"))


def choice_item(
    id_: str, context: str, choices: Sequence[str], label: int, group: str | None = None, *, delimiter: str = " "
) -> Item:
    """Return a question with several answers to one context.

    Raises `DataError` for fewer than two choices, an empty one, or a label that names none; who knows the file adds its place.
    """
    _check(choices, label)
    pairs = tuple(Pair(context, _joined(context, choice, delimiter)) for choice in choices)
    return Item(id_, "choice", pairs, tuple(map(_length, choices)), label, group)


def schema_item(
    id_: str, contexts: Sequence[str], continuation: str, label: int, group: str | None = None, *, delimiter: str = " "
) -> Item:
    """Return a question whose contexts differ and whose continuation is the same (Winograd schemas; Trinh and Le 2018)."""
    _check(contexts, label, "contexts")
    if not continuation:
        raise DataError("the continuation is empty, so there is nothing to score")
    pairs = tuple(Pair(context, _joined(context, continuation, delimiter)) for context in contexts)
    return Item(id_, "choice", pairs, (_length(continuation),) * len(pairs), label, group)


def closing_item(id_: str, context: str, continuation: str, group: str | None = None, *, delimiter: str = " ") -> Item:
    """Return a question with one right continuation, which the model is to say of itself (LAMBADA, arXiv 1606.06031)."""
    if not continuation:
        raise DataError("the continuation is empty, so there is nothing to score")
    return Item(id_, "closing", (Pair(context, _joined(context, continuation, delimiter)),), (_length(continuation),), 0, group)


def text_item(id_: str, text: str, group: str | None = None) -> Item:
    """Return a text that is predicted from its first token to its last."""
    if not text:
        raise DataError("the text is empty, so there is nothing to score")
    return Item(id_, "text", (Pair("", text),), (_length(text),), 0, group)


def _joined(context: str, continuation: str, delimiter: str) -> str:
    """Put what joins two texts before the second, unless one of them brings its own white space."""
    if not context or context[-1].isspace() or continuation[:1].isspace():
        return continuation
    return delimiter + continuation


def _length(text: str) -> tuple[int, int]:
    return len(text), utf8_bytes(text)


def _check(choices: Sequence[str], label: int, what: str = "choices") -> None:
    if len(choices) < 2:
        raise DataError(f"it has {len(choices)} {what}; a question has two or more")
    if any(not choice for choice in choices):
        raise DataError(f"number {[not choice for choice in choices].index(True)} of its {what} is empty")
    if not 0 <= label < len(choices):
        raise DataError(f"the label is {label}; with {len(choices)} {what} it must lie between 0 and {len(choices) - 1}")
