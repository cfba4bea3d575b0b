"""Are benchmark items in what a model was trained on? Every item is looked up in the token shards of its run, by runs of words.

The shards are decoded document by document and searched by the rules of the decontamination stage (13 words in common, or a whole
question of 8 to 12; GPT-3, Brown et al. 2020, Appendix C), so case, punctuation and spacing play no part. What was rearranged for
fill-in-the-middle is put back in order first. An item too short to be told from ordinary text is neither clean nor contaminated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.core.artifacts import fingerprint
from pellucid.core.errors import ArtifactError
from pellucid.core.processes import available_cores, run_tasks
from pellucid.core.progress import progress
from pellucid.documents.decontamination.index import NgramIndex, build_index
from pellucid.documents.decontamination.items import Item, make_item
from pellucid.documents.words import hash_words
from pellucid.evals.results import Record
from pellucid.evals.shard_texts import Seen, ShardSlice, TextSlice, search
from pellucid.recipe.documents import DecontaminateConfig
from pellucid.shards.index import INDEX
from pellucid.shards.stream import TokenStream

__all__ = ["Contamination", "Found", "ItemText", "Key", "Match", "TrainingText", "lookup", "open_training_text", "texts_of"]

Key = tuple[str, str]
"""Task and item, as a record names them."""

ItemText = str | Mapping[str, Any]
"""An item's text, or its parts by name: `question`, `choices`, `answer`, as in the files of benchmarks."""

_SLICE_TOKENS = 500_000
_PARALLEL_FROM_TOKENS = 4_000_000
_KEPT_MATCHES = 5
_EXCERPT_CHARS = 300


@dataclass(frozen=True)
class TrainingText:
    """The token shards that a run was trained on, and the tokenizer that reads them. `digest` is the shards' fingerprint."""

    run: Path
    shards: Path
    tokenizer: Path
    digest: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """The longest run of words that a training document shares with an item, as the document has it."""

    source: str
    document: str
    words: int
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """Where an item was found: documents by source, the share of its words that they hold, the longest matches."""

    documents: int
    sources: Mapping[str, int]
    covered: float
    matches: tuple[Match, ...]


@dataclass(frozen=True)
class Contamination:
    """What a look-up found. Items that are in none of the three are those that were not asked for."""

    found: Mapping[Key, Found]
    clean: frozenset[Key]
    untold: frozenset[Key]
    config: DecontaminateConfig
    about: Mapping[str, Any] = field(default_factory=dict)

    def is_clean(self, record: Record) -> bool | None:
        """Tell whether no training text holds the record's item; None where that is not known."""
        key = (record.task, record.item)
        return True if key in self.clean else False if key in self.found else None

    def as_json(self) -> dict[str, Any]:
        """Return counts, by task and by source, and every contaminated item with where it was found."""
        tasks: dict[str, dict[str, int]] = {}
        for name, keys in (("clean", self.clean), ("contaminated", self.found), ("cannot_be_told", self.untold)):
            for task, _ in keys:
                counts = tasks.setdefault(task, {"looked_up": 0, "clean": 0, "contaminated": 0, "cannot_be_told": 0})
                counts["looked_up"] += 1
                counts[name] += 1
        sources: dict[str, dict[str, int]] = {}
        items: dict[str, dict[str, Any]] = {}
        for (task, item), one in sorted(self.found.items()):
            items.setdefault(task, {})[item] = asdict(one)
            for source, documents in one.sources.items():
                counts = sources.setdefault(source, {"items": 0, "matches": 0})
                counts["items"] += 1
                counts["matches"] += documents
        rule = {"ngram_words": self.config.ngram_words, "min_words": self.config.min_words, "max_items": self.config.max_items}
        total = {name: sum(counts[name] for counts in tasks.values()) for name in ("looked_up", "contaminated", "cannot_be_told")}
        return {**total, "by_task": tasks, "by_source": sources, "rule": rule, "training": dict(self.about), "items": items}


def open_training_text(run: Path) -> TrainingText:
    """Return the shards of a run; raise `ArtifactError` when it has none that are whole."""
    shards, tokenizer = run / "shards", run / "tokenizer"
    digest = fingerprint(shards)
    sources = tuple(sorted(path.parent.parent.name for path in shards.glob(f"*/train/{INDEX}")))
    if not sources:
        raise ArtifactError(
            f"{shards} holds no shards to train on (SOURCE/train/{INDEX}); they are made by: pellucid shards RECIPE"
        )
    return TrainingText(run, shards, tokenizer, digest, sources)


def texts_of(records: Iterable[Record]) -> dict[Key, ItemText]:
    """Return the texts that records keep of their items; items without one are left out."""
    return {(record.task, record.item): record.text for record in records if record.text}


def lookup(
    items: Mapping[Key, ItemText],
    training: TrainingText,
    config: DecontaminateConfig | None = None,
    *,
    others: Mapping[str, Iterable[tuple[str, str]]] | None = None,
    workers: int | None = None,
) -> Contamination:
    """Look every item up in the shards to train on, and in `others`: (id, text) of more texts by source, such as conversations.

    Words that more than `config.max_items` of these items have in common, such as a prompt, tell none of them. Raises
    `ArtifactError` where shards or tokenizer are missing or damaged.
    """
    config = config or DecontaminateConfig(benchmarks=("items",))
    asked, keys_of = _distinct(items, config.ngram_words)
    index = build_index(asked, config)
    lost = {number for _, number in index.lost}
    shared = _shared_questions(asked, index, config.ngram_words)
    seen: dict[int, list[Seen]] = {}
    streams = {source: TokenStream(training.shards / source / "train") for source in training.sources} if asked else {}
    with TemporaryDirectory(prefix="pellucid-items-") as temporary:
        folder = Path(temporary) / "index"
        index.save(folder)
        slices = [one for source, stream in streams.items() for one in _slices(source, stream, training, folder)]
        total = sum(stream.tokens for stream in streams.values())
        cores = (workers or available_cores()) if total >= _PARALLEL_FROM_TOKENS else 1
        with progress("contamination", total=float(total), unit="tokens") as bar:
            for number, part in run_tasks(search, slices, cores, name=str):
                bar.advance(slices[number].tokens)
                _gather(seen, part)
        for source, texts in (others or {}).items():
            for one in _text_slices(source, texts, folder):
                _gather(seen, search(one))
    about = {
        "run": training.run.name,
        "shards": training.digest,
        "sources": list(training.sources),
        "tokens": sum(stream.tokens for stream in streams.values()),
        "documents": sum(stream.documents for stream in streams.values()),
        "other_texts": sorted(others or {}),
    }
    lost |= _share(seen, shared, index, config.max_items)
    verdicts = {number: _found(asked[number], hits, config.ngram_words) for number, hits in seen.items()}
    found = {key: verdict for number, verdict in verdicts.items() for key in keys_of[number]}
    told = {key for number, keys in enumerate(keys_of) if number not in lost for key in keys}
    untold = set(items) - told - set(found)
    return Contamination(found, frozenset(told - set(found)), frozenset(untold), config, about)


def _distinct(items: Mapping[Key, ItemText], ngram_words: int) -> tuple[list[Item], list[list[Key]]]:
    """Return the items by their texts, numbered from 0, and who asks for each: a question can stand in several tasks."""
    asked: list[Item] = []
    keys_of: list[list[Key]] = []
    known: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    for key, text in items.items():
        item = make_item("items", len(asked), {"question": text} if isinstance(text, str) else text, ngram_words)
        if item is None:
            continue
        number = known.setdefault((item.questions, item.answers), len(asked))
        if number == len(asked):
            asked.append(item)
            keys_of.append([])
        keys_of[number].append(key)
    return asked, keys_of


def _shared_questions(asked: list[Item], index: NgramIndex, ngram_words: int) -> list[tuple[bytes, list[int]]]:
    """Return the questions that are told by all of their words and that several items have: their words, and the items.

    The index has such a question under its first item alone.
    """
    first_words = hash_words([item.questions[0] for item in asked])
    items_of: dict[bytes, list[int]] = {}
    for number, (begin, end) in enumerate(pairwise(first_words.offsets_N1.tolist())):
        if end - begin >= ngram_words:
            items_of.setdefault(first_words.keys_W[begin:end].tobytes(), []).append(number)
    members = {number for numbers in items_of.values() if len(numbers) > 1 for number in numbers}
    grams: dict[int, set[bytes]] = {}
    for item, start, words in zip(index.item_G.tolist(), index.start_G.tolist(), index.words_G.tolist(), strict=True):
        if item in members:
            grams.setdefault(item, set()).add(index.keys_K[start : start + words].tobytes())
    return [
        (words, numbers)
        for words, numbers in items_of.items()
        # A run of words that tells an item stands under each that has it; a whole question under the first.
        if len(numbers) > 1 and words in grams.get(numbers[0], ()) and words not in grams.get(numbers[1], ())
    ]


def _share(seen: dict[int, list[Seen]], shared: list[tuple[bytes, list[int]]], index: NgramIndex, max_items: int) -> set[int]:
    """Give what was seen of a shared question to all of its items; where they are too many it tells none, and they are returned.

    More than `max_items` items with the same words is how a prompt looks whose items differ in what are no words (brackets).
    """
    count_I = np.bincount(index.item_G, minlength=len(index.number_I))
    untold: set[int] = set()
    for words, numbers in shared:
        first = numbers[0]
        hits = [hit for hit in seen.get(first, []) if words in hit.keys_R.tobytes()]
        if len(numbers) <= max_items:
            for number in numbers[1:] if hits else ():
                seen.setdefault(number, []).extend(hit._replace(item=number) for hit in hits)
            continue
        left = [hit for hit in seen.pop(first, []) if hit.keys_R.tobytes() != words]
        if left and count_I[first] > 1:
            seen[first] = left
        # Those that other words tell too, such as their choices, are told by these.
        untold |= {number for number in numbers if count_I[number] == (number == first)}
    return untold


def _slices(source: str, stream: TokenStream, training: TrainingText, index: Path) -> list[ShardSlice]:
    """Cut a source's documents into units of work of some half a million tokens each, or of one document."""
    starts = stream.document_starts
    slices, begin = [], 0
    while begin < stream.documents:
        reach = int(np.searchsorted(starts, int(starts[begin]) + _SLICE_TOKENS, side="right")) - 1
        end = min(stream.documents, max(begin + 1, reach))
        tokens = int(starts[end] - starts[begin])
        slices.append(ShardSlice(source, stream.path, training.tokenizer, training.digest, index, begin, end, tokens))
        begin = end
    return slices


def _text_slices(source: str, texts: Iterable[tuple[str, str]], index: Path) -> Iterable[TextSlice]:
    batch: list[tuple[str, str]] = []
    chars = 0
    for name, text in texts:
        batch.append((name, text))
        chars += len(text)
        if chars >= 4 * _SLICE_TOKENS:
            yield TextSlice(source, index, tuple(batch))
            batch, chars = [], 0
    if batch:
        yield TextSlice(source, index, tuple(batch))


def _gather(seen: dict[int, list[Seen]], part: Iterable[Seen]) -> None:
    for one in part:
        seen.setdefault(one.item, []).append(one)


def _found(item: Item, hits: list[Seen], ngram_words: int) -> Found:
    longest: dict[tuple[str, str], Seen] = {}
    for hit in hits:
        place = (hit.source, hit.document)
        if place not in longest or len(hit.keys_R) > len(longest[place].keys_R):
            longest[place] = hit
    sources: dict[str, int] = {}
    for source, _ in longest:
        sources[source] = sources.get(source, 0) + 1
    first = sorted(longest.values(), key=lambda hit: (-len(hit.keys_R), hit.source, hit.document))[:_KEPT_MATCHES]
    runs = {hit.keys_R.tobytes(): hit.keys_R for hit in hits}
    covered = max(_covered(text, runs.values(), ngram_words) for text in (*item.questions, *item.answers))
    matches = tuple(Match(hit.source, hit.document, len(hit.keys_R), hit.text[:_EXCERPT_CHARS]) for hit in first)
    return Found(len(longest), dict(sorted(sources.items())), covered, matches)


def _covered(text: str, runs: Iterable[NDArray[np.uint64]], ngram_words: int) -> float:
    """Return the share of a text's words that lie in a run of words which it has in common with one of `runs`."""
    keys: list[int] = hash_words([text]).keys_W.tolist()
    size = min(ngram_words, len(keys))
    if size == 0:
        return 0.0
    grams = {tuple(run[at : at + size]) for run in (run_R.tolist() for run_R in runs) for at in range(len(run) - size + 1)}
    inside = np.zeros(len(keys), dtype=bool)
    for at in range(len(keys) - size + 1):
        if tuple(keys[at : at + size]) in grams:
            inside[at : at + size] = True
    return float(inside.mean())
