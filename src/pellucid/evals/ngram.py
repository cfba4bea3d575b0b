"""A 5-gram language model over token ids: interpolated modified Kneser-Ney (Chen & Goodman 1998), as KenLM estimates it.

It answers what a model must beat to have learnt more than which tokens follow which. Counts are kept as sorted arrays, one per
order: an n-gram is a number `prefix · V + token`, where `prefix` is the rank of its first n-1 tokens among all (n-1)-grams. So
every step, from counting to scoring, is one pass of sorting or of binary search over whole arrays.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import DataError
from pellucid.core.progress import track

__all__ = ["NgramModel", "discounts", "train_ngram"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# KenLM's answer (`--discount_fallback`) where a toy corpus has no n-grams seen once, twice or three times.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True, slots=True)
class _Order:
    """All n-grams of one order n ≥ 2, sorted by key, and the weights that their prefixes give to the order below."""

    keys: Ints
    discounted: Floats
    backoff: Floats


@dataclass(frozen=True, slots=True)
class NgramModel:
    """Probabilities of the next token given at most `order - 1` tokens before it, over `vocab_tokens` ids.

    `eos_id` both begins a document (as context) and ends it (as something to predict). `trained_tokens` counts the predicted ones.
    """

    order: int
    vocab_tokens: int
    eos_id: int
    trained_tokens: int
    unigram: Floats
    orders: tuple[_Order, ...]

    def probabilities(self, context: Iterable[int]) -> Floats:
        """Return the distribution over the next token, [V]; it sums to 1 for any context, seen or not."""
        probability_V = self.unigram.copy()
        history = list(context)
        if self.eos_id in history:
            history = history[len(history) - 1 - history[::-1].index(self.eos_id) :]
        every_token = np.arange(self.vocab_tokens, dtype=np.int64)
        for n, level in enumerate(self.orders, start=2):
            if len(history) < n - 1:
                break
            prefix = self._find(history[len(history) - n + 1 :])
            if prefix < 0:
                break
            found = _lookup(level.keys, prefix * self.vocab_tokens + every_token)
            seen = np.where(found >= 0, level.discounted[found], 0.0)
            probability_V = seen + level.backoff[prefix] * probability_V
        return probability_V

    def score(self, ids: npt.ArrayLike) -> Floats:
        """Return the nats of each token of one document, [N]; the context of the first is the end of a document before."""
        return -np.log(self._stream_probabilities(np.concatenate(([self.eos_id], np.asarray(ids, dtype=np.int64)))))

    def score_documents(self, flat_ids: npt.NDArray[np.integer], offsets: npt.NDArray[np.integer]) -> Floats:
        """Return the nats of each document, [documents]; document i is `flat_ids[offsets[i]:offsets[i+1]]`.

        The end of a document is context only: its own nats are not counted, as for the model.
        """
        documents = len(offsets) - 1
        tokens = np.diff(offsets).astype(np.int64)
        # One leading EOS per document, so that all documents are scored as one stream.
        stream = np.full(len(flat_ids) + documents, self.eos_id, dtype=np.int64)
        is_token = np.ones(len(stream), dtype=bool)
        is_token[np.asarray(offsets[:-1], dtype=np.int64) + np.arange(documents)] = False
        stream[is_token] = flat_ids
        if len(stream) < 2:
            return np.zeros(documents)
        nats = np.zeros(len(stream))
        nats[1:] = -np.log(self._stream_probabilities(stream))
        owner = np.repeat(np.arange(documents), tokens + 1)
        return np.bincount(owner, weights=np.where(is_token, nats, 0.0), minlength=documents).astype(np.float64)

    def _find(self, gram: list[int]) -> int:
        """Rank of an n-gram among those of its order, or -1."""
        rank = gram[0]
        for level, token in zip(self.orders, gram[1:], strict=False):
            rank = int(_lookup(level.keys, np.asarray([rank * self.vocab_tokens + token]))[0]) if rank >= 0 else -1
        return rank

    def _stream_probabilities(self, tokens: Ints) -> Floats:
        """Probability of each token but the first, [N-1]; no context reaches over an EOS to what is before it."""
        stream = _Stream(tokens, self.eos_id, self.vocab_tokens)
        probability = self.unigram[tokens[1:]]
        rank = tokens
        for n, level in enumerate(self.orders, start=2):
            starts = np.flatnonzero((stream.limit >= n) & (rank >= 0))
            context = rank[starts]
            found = _lookup(level.keys, context * self.vocab_tokens + tokens[starts + n - 1])
            seen = np.where(found >= 0, level.discounted[found], 0.0)
            target = starts + n - 2
            probability[target] = seen + level.backoff[context] * probability[target]
            rank = np.full(len(tokens), -1, dtype=np.int64)
            rank[starts] = found
        return probability


def train_ngram(tokens: npt.NDArray[np.integer], *, vocab_tokens: int, eos_id: int, order: int = 5) -> NgramModel:
    """Estimate the model from a stream of documents, each followed by `eos_id`, with n-grams up to `order` ≥ 2 tokens.

    Time and memory grow with the stream; `benchmarks/evals.json` has both.
    Raises `DataError` for an empty stream or an id outside the vocabulary.
    """
    if len(tokens) == 0:
        raise DataError("an n-gram baseline needs at least one training token; got an empty stream")
    if int(tokens.max()) >= vocab_tokens:
        raise DataError(f"an n-gram baseline met token id {int(tokens.max())}; its vocabulary has {vocab_tokens} ids")
    end = [eos_id] if tokens[-1] != eos_id else []
    stream = _Stream(np.concatenate(([eos_id], tokens, end)).astype(np.int64), eos_id, vocab_tokens)
    rank, lower = stream.tokens, None
    unigram = np.empty(0)
    levels: list[_Order] = []
    for n in track(range(2, order + 1), "n-gram counts", total=order - 1, unit="orders"):
        contexts = vocab_tokens if lower is None else len(lower.keys)
        counted, next_rank = _count(stream, rank, n, contexts)
        # In how many different tokens' wake each gram of the order below occurs.
        continuations = np.bincount(rank[counted.first + 1], minlength=contexts)
        if lower is None:
            unigram = _estimate_unigram(continuations)
        else:
            # A gram that begins a document has nothing before it, so its own count stands in.
            begins = stream.tokens[lower.first] == eos_id
            levels.append(_estimate(lower, np.where(begins, lower.counts, continuations), vocab_tokens))
        rank, lower = next_rank, counted
    if lower is not None:
        levels.append(_estimate(lower, lower.counts, vocab_tokens))
    return NgramModel(order, vocab_tokens, eos_id, len(stream.tokens) - 1, unigram, tuple(levels))


def discounts(counts: Ints) -> tuple[float, float, float]:
    """Return D1, D2, D3+ from how many n-grams have counts 1 to 4 (Chen & Goodman 1998, section 3); fixed ones where undefined."""
    n1, n2, n3, n4 = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if 0 in (n1, n2, n3, n4):
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    in_range = all(0 <= discount <= count for count, discount in enumerate(found, start=1))
    return found if in_range else FALLBACK_DISCOUNTS


class _Stream:
    """Documents in a row, an EOS before each, and the longest n-gram that may begin at each place."""

    def __init__(self, tokens: Ints, eos_id: int, vocab_tokens: int) -> None:
        self.tokens = tokens
        self.vocab_tokens = vocab_tokens
        # An n-gram may begin with an EOS or end with one, so it reaches at most to the next; the last place ends the stream.
        ends = np.append(np.flatnonzero(tokens == eos_id), len(tokens) - 1)
        places = np.arange(len(tokens))
        self.limit: Ints = ends[np.searchsorted(ends[:-1], places, side="right")] - places + 1


@dataclass(frozen=True, slots=True)
class _Counted:
    """The n-grams of one order: sorted keys, how often each occurs, one place where it does; and how many contexts they follow."""

    keys: Ints
    counts: Ints
    first: Ints
    contexts: int


def _count(stream: _Stream, rank: Ints, n: int, contexts: int) -> tuple[_Counted, Ints]:
    """Count the n-grams, given the rank of the (n-1)-gram that begins at each place; also return that of the n-grams, or -1."""
    starts = np.flatnonzero(stream.limit >= n)
    keys = rank[starts] * stream.vocab_tokens + stream.tokens[starts + n - 1]
    order = np.argsort(keys)
    keys = keys[order]
    is_new = np.empty(len(keys), dtype=bool)
    is_new[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    edges = np.flatnonzero(is_new)
    next_rank = np.full(len(stream.tokens), -1, dtype=np.int64)
    next_rank[starts[order]] = np.cumsum(is_new) - 1
    counts = np.diff(edges, append=len(keys))
    return _Counted(keys[edges], counts, starts[order[edges]], contexts), next_rank


def _estimate_unigram(counts: Ints) -> Floats:
    """Unigram probabilities, interpolated with the uniform distribution over the vocabulary."""
    discount_of = np.array((0.0, *discounts(counts)))
    discount = discount_of[np.minimum(counts, 3)]
    probability_V: Floats = (counts - discount + discount.sum() / len(counts)) / counts.sum()
    return probability_V


def _estimate(counted: _Counted, counts: Ints, vocab_tokens: int) -> _Order:
    """Discount the counts of one order and give each context's discounted mass to the order below."""
    discount = np.array(discounts(counts))[np.minimum(counts, 3) - 1]
    context = counted.keys // vocab_tokens
    total = np.bincount(context, weights=counts, minlength=counted.contexts).astype(np.float64)
    freed = np.bincount(context, weights=discount, minlength=counted.contexts).astype(np.float64)
    backoff = np.divide(freed, total, out=np.ones_like(freed), where=total > 0)
    return _Order(counted.keys, (counts - discount) / total[context], backoff)


def _lookup(keys: Ints, wanted: Ints) -> Ints:
    """Rank of each wanted key in the sorted keys, -1 where it is absent."""
    if len(keys) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)
