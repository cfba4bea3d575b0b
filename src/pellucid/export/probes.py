"""What an export is asked so that it can be compared with its checkpoint: strings, documents, conversations and questions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

from pellucid.export.runtimes.runtime import Message
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["Probe", "Question", "certificate_strings", "probe_conversations", "probe_texts", "stand_in_documents"]

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


def probe_texts() -> list[str]:
    """Return the fixed texts on which tokenizers are compared: seven languages, code, and what tokenizers trip over."""
    texts: dict[str, list[str]] = json.loads(resources.files("pellucid.export").joinpath("probe_texts.json").read_text("utf-8"))
    return [text for group in texts.values() for text in group]


def probe_conversations(tokenizer: Tokenizer) -> list[list[dict[str, str]]]:
    """Return conversations made of the probe texts, each up to a question: one turn, several, with and without a system prompt.

    Texts that hold a special token's name are left out: here it stays text, in other runtimes it becomes the token. Blanks
    around a text are cut off, as many templates do so themselves.
    """
    texts = [text.strip() for text in probe_texts() if not any(name in text for name in tokenizer.special)]
    texts = [text for text in texts if text]
    found: list[list[dict[str, str]]] = []
    for number, start in enumerate(range(0, len(texts) - 5, 5)):
        system = [{"role": "system", "content": texts[start + 5]}] if number % 2 else []
        turns = texts[start : start + (1, 3, 5)[number % 3]]
        roles = ("user", "assistant")
        found.append([*system, *({"role": roles[place % 2], "content": text} for place, text in enumerate(turns))])
    return found


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
