"""Tasks that need no benchmark: made from documents that were held out of training, in whatever languages they are.

`continuation`: a stretch of a document, its true continuation, and three from other documents of the same language. `perplexity`:
the beginnings of documents. Both say from the first step on whether a model learns; neither compares with any published number.
"""

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.core.seeds import derive_seed
from pellucid.documents.store import iter_split
from pellucid.evals.choices.item import Item, choice_item, text_item
from pellucid.evals.records import HeldoutDocument

__all__ = ["HeldoutItems", "Shape", "heldout_items", "read_heldout"]

# A character of a script without spaces is a word: Thai, Lao, Burmese, Khmer, Kana, Han.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"\s*(?:[{_ALONE}]|[^\s{_ALONE}]+)")
_TRIES = 20
_READ_CHARS = 50_000  # of one document: a book is no better than its first chapters
_OTHERS = 64  # documents of a language that wrong continuations come from: fixed, so that an item does not change with the limit


@dataclass(frozen=True)
class Shape:
    """How long items are, in words."""

    context_words: int = 32
    continuation_words: int = 16
    text_words: int = 128
    choices: int = 4


@dataclass(frozen=True)
class HeldoutItems:
    """Items made from documents, one line about them, and what was left out."""

    items: list[Item]
    about: str
    facts: dict[str, Any] = field(default_factory=dict)


def read_heldout(documents: Path) -> Iterator[HeldoutDocument]:
    """Yield the held-out documents of all sources in a run's `documents/`; nothing when there are none."""
    for folder in sorted(documents.iterdir()):
        if (folder / "heldout").is_dir():
            for one in iter_split(documents, folder.name, "heldout", ("id", "source", "language", "text")):
                yield HeldoutDocument(one.id, one.source, one.language, one.text)


def heldout_items(name: str, documents: Iterable[HeldoutDocument], limit: int, seed: int, shape: Shape) -> HeldoutItems:
    """Return at most `limit` items of a task from held-out documents, dealt out evenly over their languages by the seed.

    The same documents in another order give the same items. Raises `UsageError` when not one item can be made.
    """
    made = _continuations(documents, limit, seed, shape) if name == "continuation" else _beginnings(documents, limit, seed, shape)
    if not made.items:
        raise UsageError(
            f"task {name}: no item can be made from the held-out documents ({made.facts}); raise documents.heldout_frac, or ask "
            "for shorter contexts and continuations"
        )
    return made


def _beginnings(documents: Iterable[HeldoutDocument], limit: int, seed: int, shape: Shape) -> HeldoutItems:
    pools = _pools(documents, limit, seed)
    taken = _dealt(pools, limit)
    items = [
        text_item(f"{one.source}:{one.id}", "".join(_words(one.text)[: shape.text_words]).lstrip(), one.language) for one in taken
    ]
    return HeldoutItems(items, f"the first {shape.text_words} words of held-out documents")


def _continuations(documents: Iterable[HeldoutDocument], limit: int, seed: int, shape: Shape) -> HeldoutItems:
    about = (
        f"{shape.context_words} words of a held-out document; its next {shape.continuation_words} words, and as many of "
        f"{shape.choices - 1} other documents of the language"
    )
    needed = shape.context_words + shape.continuation_words
    seen = short = 0

    def long_enough() -> Iterator[HeldoutDocument]:
        nonlocal seen, short
        for document in documents:
            seen += 1
            if len(_words(document.text[:_READ_CHARS], needed)) >= needed:
                yield document
            else:
                short += 1

    pools = _pools(long_enough(), max(limit, _OTHERS), seed)
    too_few = sorted(language for language, pool in pools.items() if len(pool) < shape.choices)
    pools = {language: pool for language, pool in pools.items() if language not in too_few}
    items, alike = [], 0
    for one in _dealt(pools, limit):
        item = _continuation(one, pools[one.language], seed, shape)
        alike += item is None
        if item is not None:
            items.append(item)
    facts = {"documents": seen, "too_short": short, "languages_with_too_few": too_few, "without_other_continuations": alike}
    return HeldoutItems(items, about, facts)


def _continuation(document: HeldoutDocument, pool: Sequence[HeldoutDocument], seed: int, shape: Shape) -> Item | None:
    """Return the item of one document; None when other documents have no three other continuations."""
    random = Random(derive_seed(seed, "continuation", document.source, document.id))
    words = _words(document.text)
    start = random.randrange(len(words) - shape.context_words - shape.continuation_words + 1)
    middle = start + shape.context_words
    context = "".join(words[start:middle]).lstrip()
    true = "".join(words[middle : middle + shape.continuation_words])
    # The white space before it is the document's own: it belongs to the continuation and must not give it away.
    lead = true[: len(true) - len(true.lstrip())]
    found = [true.lstrip()]
    others = [other for other in pool[:_OTHERS] if other is not document]
    for _ in range(_TRIES):
        if len(found) == shape.choices:
            break
        other = _words(random.choice(others).text)
        begin = random.randrange(len(other) - shape.continuation_words + 1)
        text = "".join(other[begin : begin + shape.continuation_words]).lstrip()
        if text not in found:
            found.append(text)
    if len(found) < shape.choices:
        return None
    label = random.randrange(shape.choices)
    wrong = found[1:]
    choices = [*wrong[:label], found[0], *wrong[label:]]
    return choice_item(f"{document.source}:{document.id}", context, choices, label, document.language, delimiter=lead)


def _words(text: str, at_most: int | None = None) -> list[str]:
    """Return a text's words, each with the white space before it, so that they join to the text."""
    if at_most is None:
        return _WORD.findall(text)
    found = []
    for match in _WORD.finditer(text):
        found.append(match.group())
        if len(found) == at_most:
            break
    return found


def _pools(documents: Iterable[HeldoutDocument], size: int, seed: int) -> dict[str, list[HeldoutDocument]]:
    """Return of each language the `size` documents that the seed puts first; no more are ever held in memory."""
    heaps: dict[str, list[tuple[int, str, HeldoutDocument]]] = {}
    for document in documents:
        document = replace(document, text=document.text[:_READ_CHARS])
        if not document.text.strip():
            continue
        heap = heaps.setdefault(document.language, [])
        entry = (-derive_seed(seed, "heldout items", document.source, document.id), f"{document.source}:{document.id}", document)
        if len(heap) < size:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    return {language: [entry[2] for entry in sorted(heaps[language], key=lambda entry: -entry[0])] for language in sorted(heaps)}


def _dealt(pools: dict[str, list[HeldoutDocument]], limit: int) -> list[HeldoutDocument]:
    """Take documents of each language in turn until there are enough, or none left."""
    taken: list[HeldoutDocument] = []
    for round_ in range(max(map(len, pools.values()), default=0)):
        for pool in pools.values():
            if round_ < len(pool) and len(taken) < limit:
                taken.append(pool[round_])
    return taken
