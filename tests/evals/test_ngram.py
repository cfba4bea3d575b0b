import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import DataError
from pellucid.evals.ngram import FALLBACK_DISCOUNTS, discounts, train_ngram

EOS = 0
V = 12
documents = st.lists(st.lists(st.integers(1, V - 1), max_size=30), min_size=1, max_size=8)


def stream_of(texts):
    return np.array([token for text in texts for token in [*text, EOS]], dtype=np.uint16)


class NaiveKneserNey:
    """The definition, written out with dictionaries and recursion over one document at a time."""

    def __init__(self, texts, order):
        self.order = order
        raw = [Counter() for _ in range(order + 1)]
        for text in texts:
            padded = [EOS, *text, EOS]
            for end in range(2, len(padded) + 1):
                for n in range(1, min(order, end) + 1):
                    raw[n][tuple(padded[end - n : end])] += 1
        self.counts = [None] * (order + 1)
        self.counts[order] = raw[order]
        for n in range(1, order):
            preceded_by = defaultdict(set)
            for gram in raw[n + 1]:
                preceded_by[gram[1:]].add(gram[0])
            self.counts[n] = {gram: raw[n][gram] if n > 1 and gram[0] == EOS else len(preceded_by[gram]) for gram in raw[n]}
        self.discounts = [None] + [self.discount(counts.values()) for counts in self.counts[1:]]

    @staticmethod
    def discount(counts):
        n = Counter(counts)
        if not all(n[c] for c in (1, 2, 3, 4)):
            return FALLBACK_DISCOUNTS
        y = n[1] / (n[1] + 2 * n[2])
        found = tuple(c - (c + 1) * y * n[c + 1] / n[c] for c in (1, 2, 3))
        return found if all(0 <= d <= c for c, d in zip((1, 2, 3), found, strict=True)) else FALLBACK_DISCOUNTS

    def probability(self, context, word):
        context = tuple(context[-(self.order - 1) :])
        lower = self.probability(context[1:], word) if context else 1 / V
        n = len(context) + 1
        followers = {gram[-1]: count for gram, count in self.counts[n].items() if gram[:-1] == context}
        if not followers:
            return lower
        whole = sum(followers.values())
        freed = sum(self.discounts[n][min(count, 3) - 1] for count in followers.values())
        count = followers.get(word, 0)
        return (count - (self.discounts[n][min(count, 3) - 1] if count else 0)) / whole + freed / whole * lower


@settings(max_examples=40, deadline=None)
@given(documents, st.lists(st.integers(1, V - 1), max_size=7), st.integers(2, 5))
def test_probabilities_equal_those_of_the_written_out_definition(texts, context, order):
    model = train_ngram(stream_of(texts), vocab_tokens=V, eos_id=EOS, order=order)
    naive = NaiveKneserNey(texts, order)
    for history in (context, [EOS, *context], []):
        expected = [naive.probability(history, word) for word in range(V)]
        np.testing.assert_allclose(model.probabilities(history), expected, rtol=1e-12, atol=1e-15)


@pytest.fixture(scope="module")
def skewed():
    rng = np.random.default_rng(7)
    tokens = np.minimum(rng.zipf(1.3, 60_000), 299)
    tokens[rng.random(len(tokens)) < 0.02] = EOS
    return tokens


@pytest.fixture(scope="module")
def skewed_model(skewed):
    return train_ngram(skewed, vocab_tokens=300, eos_id=EOS)


def test_probabilities_sum_to_one_for_contexts_seen_and_unseen(skewed, skewed_model):
    rng = np.random.default_rng(8)
    seen = [skewed[start : start + rng.integers(0, 6)] for start in rng.integers(0, len(skewed) - 6, 100)]
    unseen = [rng.integers(0, 300, rng.integers(0, 6)) for _ in range(100)]
    for context in seen + unseen:
        probability_V = skewed_model.probabilities(context)
        assert probability_V.min() > 0
        assert abs(probability_V.sum() - 1) < 1e-9


def test_discounts_come_from_the_counts_of_counts_on_real_sized_data(skewed_model, skewed):
    counts = np.repeat([1, 2, 3, 4, 5], [400, 120, 60, 30, 10])
    y = 400 / 640
    assert discounts(counts) == pytest.approx((1 - 2 * y * 120 / 400, 2 - 3 * y * 60 / 120, 3 - 4 * y * 30 / 60))
    assert discounts(np.array([1, 1, 2])) == FALLBACK_DISCOUNTS


def test_a_document_scores_the_same_token_by_token_as_in_one_pass(skewed_model):
    ids = [1, 1, 2, 1, 7, 1, 1, 299, 1, 1, 3, 2]
    one_by_one = [-math.log(skewed_model.probabilities([EOS, *ids[:i]])[token]) for i, token in enumerate(ids)]
    np.testing.assert_allclose(skewed_model.score(ids), one_by_one, rtol=1e-12)


def test_a_score_does_not_depend_on_the_documents_around_it_and_leaves_out_the_end_of_document(skewed_model):
    texts = [[5, 1, 1], [], [2], [1, 9, 1, 4, 4, 1, 2]]
    flat = np.array([token for text in texts for token in text])
    together = skewed_model.score_documents(flat, np.cumsum([0] + [len(text) for text in texts]))
    alone = [skewed_model.score(text).sum() for text in texts]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert together[1] == 0


def test_it_learns_what_a_longer_context_decides():
    cycle = np.tile([1, 2, 1, 3], 500)
    model = train_ngram(np.append(cycle, EOS), vocab_tokens=V, eos_id=EOS)
    after_two, after_three = model.probabilities([1, 2, 1]), model.probabilities([1, 3, 1])
    assert after_two[3] > 4 * after_two[2]
    assert after_three[2] > 4 * after_three[3]


def test_the_end_of_the_stream_may_lack_its_end_of_document():
    with_end = train_ngram(np.array([1, 2, 3, EOS]), vocab_tokens=V, eos_id=EOS)
    without = train_ngram(np.array([1, 2, 3]), vocab_tokens=V, eos_id=EOS)
    np.testing.assert_array_equal(with_end.probabilities([1]), without.probabilities([1]))
    assert with_end.trained_tokens == without.trained_tokens == 4


def test_an_empty_stream_and_an_id_outside_the_vocabulary_are_refused():
    with pytest.raises(DataError, match="empty"):
        train_ngram(np.array([], dtype=np.uint16), vocab_tokens=V, eos_id=EOS)
    with pytest.raises(DataError, match="token id 12; its vocabulary has 12 ids"):
        train_ngram(np.array([1, 12, EOS]), vocab_tokens=V, eos_id=EOS)
