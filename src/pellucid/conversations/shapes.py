"""From a raw record to messages, for each of the shapes in which conversations and preference pairs are published.

| shape | record | published so |
| --- | --- | --- |
| messages | `messages`: list of role and content, of input and output, or of strings | UltraChat_200k, Capybara |
| sharegpt | `conversations`: list of from and value | SlimOrca, WizardLM V2, Deita, ShareGPT |
| alpaca | `instruction`, `input`, `output`, and other names for these | Dolly, MetaMathQA, OpenOrca, Alpaca |
| pairs | `prompt`, `chosen`, `rejected`: texts, lists of turns or transcripts | UltraFeedback, Orca pairs, hh-rlhf |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pellucid.conversations.turns import Messages, UnfitError, content_of, transcript, turns
from pellucid.core.errors import DataError
from pellucid.documents.fields import get_path
from pellucid.recipe.conversations import ConversationConfig

__all__ = ["FIELDS", "Candidate", "ReadShape", "Shape", "tell_shape"]

Shape = Literal["messages", "sharegpt", "alpaca", "pairs"]

_SYSTEM = ("system", "system_prompt")
_TURNS = ("messages", "conversations", "conversation", "items", "chat", "dialogue")

FIELDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "messages": {"messages": _TURNS, "role": ("role",), "content": ("content",), "system": _SYSTEM},
    "sharegpt": {"conversations": _TURNS, "from": ("from",), "value": ("value",), "system": _SYSTEM},
    "alpaca": {
        "instruction": ("instruction", "prompt", "question", "query"),
        "input": ("input", "context"),
        "output": ("output", "response", "answer", "completion", "generation"),
        "system": _SYSTEM,
    },
    "pairs": {
        "prompt": ("prompt", "question", "instruction", "input", "query"),
        "chosen": ("chosen", "chosen_response"),
        "rejected": ("rejected", "rejected_response"),
        "chosen_score": ("score_chosen", "chosen_score", "chosen-rating", "chosen_rating", "chosen_avg_rating"),
        "rejected_score": ("score_rejected", "rejected_score", "rejected-rating", "rejected_rating", "rejected_avg_rating"),
        "ratings": ("rating", "ratings"),
        "system": _SYSTEM,
    },
}
"""The fields of each shape, which a source may rename, and under which names they are looked for when it does not."""

_REQUIRED = {
    "pairs": ("chosen", "rejected"),
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "alpaca": ("instruction", "output"),
}


@dataclass
class Candidate:
    """What a record says: a conversation, or a pair, of which `messages` is the chosen side. Each side holds what was asked."""

    messages: Messages
    rejected: Messages | None = None
    chosen_score: float | None = None
    rejected_score: float | None = None


def tell_shape(source: ConversationConfig, record: Mapping[str, Any], where: str) -> Shape:
    """Return the shape of a source: the recipe's, or the one that its first record has. Raises `DataError` when it has none."""
    if source.shape != "auto":
        return source.shape
    shape: Shape
    for shape in ("pairs", "messages", "alpaca"):
        found = _found(record, shape, source.fields)
        # Turns that say `from` are read under either shape; what the recipe renames tells which one it means.
        if shape == "messages" and not set(source.fields) & set(FIELDS["messages"]) and _says_from(found):
            return "sharegpt"
        if found is not None:
            return shape
    if _found(record, "sharegpt", source.fields) is not None:  # under a name of the recipe's
        return "sharegpt"
    raise DataError(
        f"source {source.name!r}: {where} has the fields {', '.join(map(repr, record)) or 'none'}, and no known shape. "
        "Name its shape, and what its fields are called: {shape: alpaca, fields: {instruction: question, output: answer}}"
    )


def _found(record: Mapping[str, Any], shape: Shape, renamed: Mapping[str, str]) -> Any:
    """Return the last of what a record of this shape must have, or None when it has not all of it."""
    names = _names(shape, renamed)
    values = [_find(record, names[field]) for field in _REQUIRED[shape]]
    if shape in ("messages", "sharegpt") and isinstance(values[0], str) and not values[0].lstrip().startswith("["):
        return None  # a text of that name
    return None if None in values else values[-1]


def _says_from(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, Mapping) and "from" in first and "role" not in first


def _names(shape: str, renamed: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {field: (renamed[field],) if field in renamed else names for field, names in FIELDS[shape].items()}


def _find(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first of these that the record has and that is not null."""
    for name in names:
        value = record.get(name) if name in record else get_path(record, name)
        if value is not None:
            return value
    return None


class ReadShape:
    """Reads records of one shape. Raises `DataError` when the recipe renames a field that the shape has not."""

    def __init__(self, source: ConversationConfig, shape: Shape) -> None:
        unknown = sorted(set(source.fields) - set(FIELDS[shape]))
        if unknown:
            raise DataError(
                f"source {source.name!r}: fields renames {', '.join(unknown)}; records of shape {shape} have "
                f"{', '.join(FIELDS[shape])}. Correct it, or name another shape"
            )
        self.shape: Shape = shape
        self._fields, self._names = source.fields, _names(shape, source.fields)

    @property
    def is_pairs(self) -> bool:
        """Whether a record is a preference pair."""
        return self.shape == "pairs"

    def __call__(self, record: Mapping[str, Any]) -> Candidate:
        """Return what the record says. Raises `UnfitError` where it is not of this shape."""
        if self.shape == "pairs":
            return self._pair(record)
        if self.shape == "alpaca":
            return Candidate(self._instruction(record))
        listed, role, content = ("messages", "role", "content") if self.shape == "messages" else ("conversations", "from", "value")
        messages = turns(self._required(record, listed), self._names[role][0], self._names[content][0])
        return Candidate(self._with_system(record, messages))

    def _required(self, record: Mapping[str, Any], field: str) -> Any:
        value = _find(record, self._names[field])
        if value is None:
            called = " or ".join(map(repr, self._names[field]))
            raise UnfitError("not of its shape", f"has no {called}, only {', '.join(map(repr, list(record)[:12])) or 'nothing'}")
        return value

    def _with_system(self, record: Mapping[str, Any], messages: Messages) -> Messages:
        system = _find(record, self._names["system"])
        if isinstance(system, str) and system.strip() and not any(one["role"] == "system" for one in messages):
            return [{"role": "system", "content": system}, *messages]
        return messages

    def _instruction(self, record: Mapping[str, Any]) -> Messages:
        asked, answer = self._required(record, "instruction"), self._required(record, "output")
        if isinstance(asked, str):
            more = content_of(_find(record, self._names["input"]))
            asked = [{"role": "user", "content": "\n\n".join(part for part in (asked, more) if part.strip())}]
        return self._with_system(record, _joined(asked, answer))

    def _pair(self, record: Mapping[str, Any]) -> Candidate:
        asked = _find(record, self._names["prompt"])
        chosen, rejected = (self._required(record, side) for side in ("chosen", "rejected"))
        scores = [_number(_find(record, self._names[name])) for name in ("chosen_score", "rejected_score")]
        if None in scores:
            listed = self._listed_scores(record, chosen, rejected)
            scores = [own if own is not None else other for own, other in zip(scores, listed, strict=True)]
        sides = [self._with_system(record, _joined(asked, answer)) for answer in (chosen, rejected)]
        return Candidate(sides[0], sides[1], scores[0], scores[1])

    def _listed_scores(self, record: Mapping[str, Any], chosen: Any, rejected: Any) -> list[float | None]:
        """Return the scores out of a list of two: in the order of `generations` where the record has them, else chosen first."""
        ratings = _find(record, self._names["ratings"])
        if not isinstance(ratings, list) or len(ratings) != 2:
            return [None, None]
        scores = [_number(rating) for rating in ratings]
        return scores[::-1] if record.get("generations") == [rejected, chosen] else scores


def _joined(asked: Any, answer: Any) -> Messages:
    """Return what was asked and an answer as one conversation.

    An answer that begins with the user's turn holds what was asked, but for the system message where it has none of its own. Any
    other goes on from what was asked, for as many turns as it has.
    """
    told = transcript(asked) if isinstance(asked, str) else None
    before: Messages = []
    if isinstance(asked, str):
        before = told or [{"role": "user", "content": asked}]
        if before[-1] == {"role": "assistant", "content": ""}:
            before.pop()  # where the answer is yet to come
    elif asked is not None:
        before = turns(asked)
    if isinstance(answer, str):
        # A plain prompt is answered with a text, whatever that looks like.
        whole = transcript(answer) if asked is None or told else None
        after = whole or [{"role": "assistant", "content": answer}]
    else:
        after = turns(answer)
    if next((one["role"] for one in after if one["role"] != "system"), None) == "user":
        has_own = any(one["role"] == "system" for one in after)
        return after if has_own else [*(one for one in before if one["role"] == "system"), *after]
    if not before:
        raise UnfitError("not of its shape", "has an answer, and nothing that was asked")
    return before + after


def _number(value: Any) -> float | None:
    """Return a score, or None where there is none."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
