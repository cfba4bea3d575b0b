"""What an export is asked so that it can be compared with its checkpoint: strings, documents, conversations and questions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

from pellucid.export.parity import probe_texts
from pellucid.export.runtimes.runtime import Message

__all__ = ["Probe", "Question", "certificate_strings", "stand_in_documents"]

_DOCUMENT_CHARS = 1500


class Question(Protocol):
    """A question with several answers, each a context with a continuation; the evaluation's items are such."""

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """(context, continuation) of each choice."""

    @property
    def label(self) -> int:
        """The number of the right one, from 0."""


@dataclass(frozen=True)
class Probe:
    """What is compared. `documents` should be held out of training; of them at most `tokens` are read, in windows."""

    strings: Sequence[str]
    documents: Sequence[str]
    conversations: Sequence[Sequence[Message]] = ()
    questions: Sequence[Question] = ()
    tokens: int = 2048
    window_tokens: int = 256


def certificate_strings() -> list[str]:
    """Return over a thousand different strings: seven languages, code, white space, digits, other scripts, emoji.

    `benchmarks/certificate_texts.py` makes most of them, from text in the public domain and this project's own code.
    """
    return list(dict.fromkeys([*probe_texts(), *(text for group in _groups().values() for text in group)]))


def stand_in_documents() -> list[str]:
    """Return a document in each language and one of code, where a run has held nothing out. A model may have learnt them."""
    return ["\n".join(group)[:_DOCUMENT_CHARS] for name, group in _groups().items() if name != "odd"]


def _groups() -> dict[str, list[str]]:
    text = resources.files("pellucid.export").joinpath("certificate_texts.json").read_text("utf-8")
    groups: dict[str, list[str]] = json.loads(text)
    return groups
