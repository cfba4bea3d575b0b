import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pellucid.core.seeds import derive_seed
from pellucid.documents.dedup import minhash
from pellucid.documents.dedup.minhash import NO_WORDS, found_frac, has_words, least_equal, signatures
from pellucid.documents.words import Words, hash_words
from pellucid.recipe.documents import NearDedupConfig

Sign = Callable[..., NDArray[np.uint32]]
GOLDEN = 0x9E3779B97F4A7C15
TEXTS = st.lists(st.text("abcd é.日本", max_size=40), max_size=8)


def plain_mix(x: int) -> int:
    x = (x + GOLDEN) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def plain_signature(text: str, n: int, permutations: int, seed: int) -> list[int]:
    keys = hash_words([text]).keys_W.tolist()
    if not keys:
        return [int(NO_WORDS)] * permutations
    runs = [keys[place : place + n] for place in range(len(keys) - n + 1)] or [keys]
    shingles = set()
    for run in runs:
        total = 0 if len(run) == n else len(run)
        for key in run:
            total = (total * GOLDEN + key) % 2**64
        shingles.add(plain_mix(total) >> 32)
    base = derive_seed(seed, "minhash")
    numbers = [plain_mix((base + GOLDEN * place) % 2**64) for place in range(permutations)]
    return [min((s * (number >> 32 | 1) + number) % 2**32 for s in shingles) for number in numbers]


@given(TEXTS, st.integers(1, 6), st.integers(0, 2**63 - 1))
def test_signatures_are_those_of_a_plain_implementation(texts: list[str], n: int, seed: int) -> None:
    config = NearDedupConfig(ngram_words=n, permutations=16, bands=4)
    found = signatures(hash_words(texts), config, seed)
    assert found.dtype == np.uint32 and found.shape == (len(texts), 16)
    assert found.tolist() == [plain_signature(text, n, 16, seed) for text in texts]


def test_a_signature_does_not_depend_on_the_batch_or_the_size_of_blocks(
    pocket_texts: list[str], sign: Sign, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*pocket_texts[:40], "", "one", *pocket_texts[40:60], "?"]
    whole = sign(texts)
    assert np.array_equal(np.concatenate([sign(texts[:7]), sign(texts[7:8]), sign([]), sign(texts[8:])]), whole)
    monkeypatch.setattr(minhash, "_BLOCK_SHINGLES", 500)
    assert np.array_equal(sign(texts), whole)


def test_the_bytes_are_those_of_every_other_machine(sign: Sign) -> None:
    minima = sign(["The quick brown fox jumps over the lazy dog.", "Zwölf Boxkämpfer jagen Viktor", "", "日本語の文章です"])
    assert (
        hashlib.sha256(minima.astype("<u4").tobytes()).hexdigest()
        == "4bf1854bbe7645dca3eb4e353f565937808430d160e050a1ca9b21bef6551922"
    )


def test_the_estimate_is_unbiased_and_as_precise_as_theory_says() -> None:
    rng = np.random.default_rng(0)
    config = NearDedupConfig(ngram_words=1)
    for words, shared in ((20, 16), (300, 150), (300, 285)):
        keys = rng.integers(0, 2**64, (1500, 2 * words), dtype=np.uint64)
        pairs = np.concatenate((keys[:, :words], keys[:, :shared], keys[:, words : 2 * words - shared]), axis=1).ravel()
        ends = np.arange(3001) * words
        found = signatures(Words(pairs, ends, ends, ends), config, seed=3)
        estimates = (found[::2] == found[1::2]).mean(axis=1)
        true = shared / (2 * words - shared)
        variance = true * (1 - true) / config.permutations
        assert abs(estimates.mean() - true) < 4 * np.sqrt(variance / len(estimates))
        assert 0.85 < estimates.var() / variance < 1.15


def test_repetitions_and_punctuation_change_nothing(sign: Sign) -> None:
    once, twice, other = sign(["a b c a b c d", "A, b; c: a b (c) – a b c a, b c d!", "a b c a b c e"], ngram_words=3)
    assert np.array_equal(once, twice)
    assert not np.array_equal(once, other)


def test_a_short_text_equals_only_texts_of_exactly_its_words(sign: Sign) -> None:
    minima = sign(["yes", "Yes!", "yes yes", "no", "yes no", "no yes"])
    assert np.array_equal(minima[0], minima[1])
    assert len({row.tobytes() for row in minima}) == 5


def test_a_text_without_words_is_marked(sign: Sign) -> None:
    assert has_words(sign(["", "a", "...", "a b c d e f"])).tolist() == [False, True, False, True]
    assert sign([]).shape == (0, 128)


def test_the_limit_lets_99_of_100_pairs_pass_that_are_just_similar_enough() -> None:
    config = NearDedupConfig()
    least = least_equal(config)
    equal = np.random.default_rng(0).binomial(config.permutations, config.min_jaccard, 200_000)
    assert (equal >= least + 1).mean() < 0.99 <= (equal >= least).mean()
    assert least_equal(NearDedupConfig(min_jaccard=1.0)) == 128
    assert least_equal(NearDedupConfig(permutations=4096, bands=512)) / 4096 > least / 128


def test_what_the_defaults_find() -> None:
    config = NearDedupConfig()
    assert found_frac(config, 0.8) == pytest.approx(0.99415, abs=1e-5)
    assert found_frac(config, 0.9) > 1 - 1e-9
    assert found_frac(config, 0.5) < 1e-6
    assert (found_frac(config, 0), found_frac(config, 1)) == (0, 1)
    assert 0 < found_frac(NearDedupConfig(permutations=4096, bands=512), 0.8) < 1
