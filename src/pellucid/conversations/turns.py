"""What others write a conversation as (lists of turns, exchanges, transcripts) → messages with a role and a content."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import orjson

__all__ = ["ROLES", "Messages", "UnfitError", "content_of", "role_of", "transcript", "turns"]

Messages: TypeAlias = list[dict[str, str]]
"""A conversation: each message has `role` (system, user or assistant) and `content`."""

ROLES: Mapping[str, str] = {
    "system": "system",
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "ai"), "assistant"),
}
"""Which role is meant by the names that are in use, in lower case."""

_EXCHANGE = ("input", "output")
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
_BEGINS = re.compile(r"\s*Human:")


class UnfitError(Exception):
    """A record is no example; carries the reason that is counted and a detail to read."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def turns(value: Any, role: str = "role", content: str = "content") -> Messages:
    """Return the messages of a list of turns. Raises `UnfitError` where it is none.

    A turn is a mapping with a role and a content under these names (or, where it has not them, role and content, from and value),
    an exchange of `input` and `output` (Capybara), or a string, user and assistant by turns (UltraChat). Columns of equal length
    stand for a list of mappings, as `datasets` gives them, and a string for the JSON in it, as CSV has it.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, Mapping):
        value = _rows(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise UnfitError("not of its shape", f"has a {type(value).__name__} where a list of turns should be")
    messages: Messages = []
    names = ((role, content), ("role", "content"), ("from", "value"))
    for number, turn in enumerate(value):
        if isinstance(turn, str):
            messages.append({"role": ("user", "assistant")[number % 2], "content": turn})
            continue
        if not isinstance(turn, Mapping):
            raise UnfitError("not of its shape", f"has a {type(turn).__name__} as turn {number + 1}")
        pair = next((pair for pair in names if turn.get(pair[0]) is not None), None)
        if pair is not None:
            messages.append({"role": role_of(turn[pair[0]]), "content": content_of(turn.get(pair[1]))})
        elif all(name in turn for name in _EXCHANGE):
            messages.append({"role": "user", "content": content_of(turn["input"])})
            messages.append({"role": "assistant", "content": content_of(turn["output"])})
        else:
            raise UnfitError(
                "not of its shape", f"has no {role!r} in turn {number + 1}, only {', '.join(map(str, turn)) or 'nothing'}"
            )
    return messages


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise UnfitError("not of its shape", "has a text where a list of turns should be") from None


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of columns."""
    lists = list(columns.values())
    if not lists or not all(isinstance(one, list) and len(one) == len(lists[0]) for one in lists):
        raise UnfitError("not of its shape", f"has a mapping ({', '.join(map(str, columns))}) where a list of turns should be")
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def role_of(name: Any) -> str:
    """Return system, user or assistant. Raises `UnfitError` for any other role."""
    role = ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise UnfitError("unknown role", f"has the role {name!r}; known are {', '.join(ROLES)}")
    return role


def content_of(value: Any) -> str:
    """Return a text; none is an empty one, and parts of text follow each other. Raises `UnfitError` for anything else."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in value):
        return "".join(part["text"] for part in value)
    raise UnfitError("content is not text", f"has a {type(value).__name__} as a turn's content")


def transcript(text: str) -> Messages | None:
    """Return the messages of a transcript (`Human: … Assistant: …`, each after a blank line), or None when the text is none.

    The layout of hh-rlhf (Bai et al. 2022, arXiv 2204.05862). An empty line before the name of a speaker ends a turn wherever it
    stands.
    """
    if not _BEGINS.match(text) or "\n\nAssistant:" not in text:
        return None
    _, *parts = _SPEAKER.split(text.lstrip())
    return [{"role": role_of(speaker), "content": said.strip()} for speaker, said in zip(parts[::2], parts[1::2], strict=True)]
