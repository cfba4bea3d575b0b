"""Which training documents hold, word for word, what a model has written? A run's shards, asked by text or by ids."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from pellucid.core.artifacts import Key, building, is_current
from pellucid.core.errors import DataError
from pellucid.core.lock import run_lock
from pellucid.core.progress import progress
from pellucid.evals.contamination import TrainingText
from pellucid.shards.ngrams import GRAM_TOKENS, SHORTEST_TOKENS, NgramIndex, build_index
from pellucid.shards.stream import TokenStream
from pellucid.shards.verbatim import FoundRuns, VerbatimRun, find_runs
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["INDEX_FOLDER", "TrainingOrigins"]

INDEX_FOLDER = "ngrams"
"""Where a run keeps the index: an artifact like its others, made when it is first asked for."""

_SCHEMA = 1
_AROUND_TOKENS = 48
_NO_TOKEN = "\N{REPLACEMENT CHARACTER}".encode()


class _Place(NamedTuple):
    split: int
    document: int
    token: int


@dataclass
class TrainingOrigins:
    """The documents of a run's training data, to be asked. Held-out documents are not among them; unread ones may be.

    `prepare` must have been called before `look_up`. Both may be called in any thread, by one at a time.
    """

    training: TrainingText
    share_done: float = 0.0
    _indexes: list[NgramIndex] = field(default_factory=list)
    _tokenizer: Tokenizer | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is an index, opened."""
        return self._tokenizer is not None

    def prepare(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Open the index of n-grams; make it where there is none of these very shards, which is about a minute for 10⁹ tokens.

        Raises `RunLockedError` when another process works in the run, `ArtifactError` for damaged shards, `NotWantedError` once
        `is_wanted()` is false, `OSError` where nothing can be written.
        """
        training, folder = self.training, self.training.run / INDEX_FOLDER
        streams = {source: TokenStream(training.shards / source / "train") for source in training.sources}
        key = Key(
            "ngrams", _SCHEMA, 0, {"gram_tokens": GRAM_TOKENS, "shortest_tokens": SHORTEST_TOKENS}, {"shards": training.digest}
        )
        if not is_current(folder, key):
            total = sum(stream.tokens for stream in streams.values())
            with run_lock(training.run, "ask again later"), building(folder, key) as build:
                with progress("Index of the training data", float(total), "tokens") as bar:

                    def advance(tokens: float) -> None:
                        bar.advance(tokens)
                        self.share_done = min(1.0, self.share_done + tokens / max(1, total))

                    self.share_done = 0.0
                    for source, stream in streams.items():
                        shutil.rmtree(build.path / source, ignore_errors=True)
                        build_index(stream, build.path / source, advance, is_wanted)
                build.summary |= {"tokens": total, "sources": len(streams)}
        self._indexes = [NgramIndex.open(folder / source, stream) for source, stream in streams.items()]
        self._tokenizer, self.share_done = load_tokenizer(training.tokenizer), 1.0

    def look_up(
        self,
        asked: str | Sequence[int],
        *,
        min_tokens: int = SHORTEST_TOKENS,
        max_runs: int = 20,
        max_documents: int = 3,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, Any]:
        """Return the maximal runs of `min_tokens` tokens or more of a text, or of ids of the run's vocabulary, and their documents.

        Of the runs the `max_runs` longest are shown, in the text's order; of each the first `max_documents` documents of the
        shards. All are counted. Characters of the text are counted in code points; they are None where the vocabulary changes texts
        before it encodes them. Raises `DataError` for a text that cannot be encoded, `NotWantedError` once `is_wanted()` is false.
        """
        assert self._tokenizer is not None, "prepare() comes first"
        ids = self._tokenizer.encode(asked) if isinstance(asked, str) else list(asked)
        found = find_runs(ids, self._indexes, min_tokens, is_wanted=is_wanted)
        longest = sorted(found.runs, key=lambda run: (run.begin - run.end, run.begin))[:max_runs]
        text = _Written(self._tokenizer, ids, asked if isinstance(asked, str) else None)
        streams = [index.stream for index in self._indexes]
        return {
            "object": "training_matches",
            "min_tokens": min_tokens,
            "tokens": len(ids),
            "covered_tokens": _covered(found),
            "complete": found.complete,
            "searched": {
                "run": self.training.run.resolve().name,
                "sources": len(streams),
                "documents": sum(stream.documents for stream in streams),
                "tokens": sum(stream.tokens for stream in streams),
            },
            "runs_in_all": len(found.runs),
            "runs": [text.facts(run) | self._documents(run, max_documents) for run in sorted(longest, key=lambda run: run.begin)],
        }

    def _documents(self, run: VerbatimRun, most: int) -> dict[str, Any]:
        """Count the documents of a run, and show the first of them."""
        documents, shown = 0, list[_Place]()
        for split, token_P in run.places:
            document_P = self._indexes[split].stream.document_at(token_P)
            firsts = np.flatnonzero(np.diff(document_P, prepend=-1))
            documents += len(firsts)
            shown += [_Place(split, int(document_P[first]), int(token_P[first])) for first in firsts[:most]]
        return {
            "places": sum(len(token_P) for _, token_P in run.places),
            "documents": documents,
            "shown": [self._excerpt(place, run.end - run.begin) for place in shown[:most]],
        }

    def _excerpt(self, place: _Place, tokens: int) -> dict[str, Any]:
        """Return what is known of a document, and its text around a match of so many tokens."""
        assert self._tokenizer is not None
        stream = self._indexes[place.split].stream
        first, end = stream.document_starts[place.document : place.document + 2].tolist()
        begin = max(first, place.token - _AROUND_TOKENS)
        after = min(end - 1, place.token + tokens + _AROUND_TOKENS)
        ids = stream.read(begin, after - begin).tolist()
        pieces = _bytes(self._tokenizer, ids)
        at = place.token - begin
        ends = list(accumulate(map(len, pieces), initial=0))
        before, match, behind = _cut(b"".join(pieces), ends[at], ends[at + tokens])
        (about,) = stream.metadata([place.document])
        return {
            "source": self.training.sources[place.split],
            "document": place.document,
            **{name: about[name] for name in ("id", "language", "licence", "origin")},
            "place": place.token - first,
            "before": before,
            "match": match,
            "after": behind,
            "begins": begin == first,
            "ends": after == end - 1,
        }


class _Written:
    """What was asked about, as its tokens' bytes: where runs stand in it, in characters."""

    def __init__(self, tokenizer: Tokenizer, ids: Sequence[int], text: str | None) -> None:
        pieces = _bytes(tokenizer, ids)
        self._bytes = b"".join(pieces)
        self._ends = list(accumulate(map(len, pieces), initial=0))
        own = None if text is None else text.encode()
        # SentencePiece puts a space before a text; other changes (NFKC, lower case) leave no places that could be told.
        self._shift = 0 if own in (None, self._bytes) else -1 if b" " + (own or b"") == self._bytes else None

    def facts(self, run: VerbatimRun) -> dict[str, Any]:
        """Return a run's place and text."""
        before, match, _ = _cut(self._bytes, self._ends[run.begin], self._ends[run.end])
        first: int | None = None
        last: int | None = None
        if self._shift is not None:
            first = max(0, len(before) + self._shift)
            last = len(before) + self._shift + len(match)
        facts = {"begin": run.begin, "end": run.end, "tokens": run.end - run.begin, "text": match}
        return facts | {"begin_char": first, "end_char": last}


def _covered(found: FoundRuns) -> int:
    """Return how many tokens are in a run; runs may overlap."""
    covered = reached = 0
    for run in found.runs:
        covered += max(0, run.end - max(run.begin, reached))
        reached = max(reached, run.end)
    return covered


def _bytes(tokenizer: Tokenizer, ids: Sequence[int]) -> list[bytes]:
    """Return the bytes of each token; an id without a token is U+FFFD."""
    known: dict[int, bytes] = {}
    for id_ in set(ids):
        try:
            known[id_] = tokenizer.decode_bytes([id_])
        except DataError:
            known[id_] = _NO_TOKEN
    return [known[id_] for id_ in ids]


def _cut(data: bytes, begin: int, end: int) -> tuple[str, str, str]:
    """Return the text before, in and after a part. A character that is cut in two belongs to what it begins in."""

    def aligned(at: int) -> int:
        while at < len(data) and data[at] & 0xC0 == 0x80:
            at += 1
        return at

    start, begin, end = aligned(0), aligned(begin), aligned(end)
    before, match, after = (
        data[first:last].decode(errors="replace") for first, last in ((start, begin), (begin, end), (end, None))
    )
    return before, match, after.rstrip("\N{REPLACEMENT CHARACTER}")
