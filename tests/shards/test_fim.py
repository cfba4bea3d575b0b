"""The law: whatever is rearranged can be put back, exactly; and nothing but seed, source and text decides."""

from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.recipe.data import FimConfig
from pellucid.shards.fim import Cutter, FimTokens, check_parts, cutter_for, encode_rearranged

PREFIX, MIDDLE, SUFFIX = 300, 301, 302
TOKENS = FimTokens(("<|fim_prefix|>", PREFIX), ("<|fim_middle|>", MIDDLE), ("<|fim_suffix|>", SUFFIX))
SPECIAL = {"<|endoftext|>": 299, "<|fim_prefix|>": PREFIX, "<|fim_middle|>": MIDDLE, "<|fim_suffix|>": SUFFIX}

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=8)


class Doc:
    def __init__(self, text: str) -> None:
        self.text, self.digest = text, sha256(text.encode()).hexdigest()


def encode(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    pieces = [np.frombuffer(text.encode(), np.uint8).astype(np.uint32) for text in texts]
    return np.concatenate([np.empty(0, np.uint32), *pieces]), np.cumsum([0, *map(len, pieces)], dtype=np.int64)


def cutter(rate: float, spm_frac: float = 0.5, seed: int = 1) -> Cutter:
    return Cutter(FimConfig(rate=rate, spm_frac=spm_frac), seed, TOKENS)


def put_back(ids: list[int]) -> tuple[str, str]:
    """Return the text behind a stored document, and its form, from the tokens alone."""
    text = lambda part: bytes(part).decode()  # noqa: E731
    if ids[:1] != [PREFIX]:
        return text(ids), "plain"
    to_suffix, to_middle = ids.index(SUFFIX), ids.index(MIDDLE)
    first, suffix, last = ids[1:to_suffix], ids[to_suffix + 1 : to_middle], ids[to_middle + 1 :]
    # Suffix first leaves nothing between the first two marks; what follows the last is then prefix and middle in a row.
    return text([*first, *last, *suffix]), "spm" if to_suffix == 1 else "psm"


@given(texts=TEXTS, rate=st.sampled_from([0.0, 0.5, 1.0]), spm=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 2**63 - 1))
def test_every_document_can_be_put_back_exactly_and_is_cut_between_characters(
    texts: list[str], rate: float, spm: float, seed: int
) -> None:
    made = encode_rearranged([Doc(text) for text in texts], encode, cutter(rate, spm, seed))
    rows = [made.ids[start:end].tolist() for start, end in pairwise(made.offsets)]
    assert [put_back(row)[0] for row in rows] == texts
    rearranged = sum(row[:1] == [PREFIX] for row in rows)
    assert sum(made.counts.values()) == rearranged == (len(texts) if rate == 1 else 0 if rate == 0 else rearranged)
    for mark in (PREFIX, MIDDLE, SUFFIX):
        assert made.ids.tolist().count(mark) == rearranged
    assert spm != 0 or made.counts["spm"] == 0
    assert spm != 1 or made.counts["psm"] == 0
    assert made.part_offsets[-1] == len(made.part_ids) and len(made.part_owner) == len(texts) + 2 * rearranged


@given(texts=TEXTS, split=st.integers(0, 8))
def test_batches_change_nothing_and_rate_nought_gives_plain_encoding(texts: list[str], split: int) -> None:
    documents = [Doc(text) for text in texts]
    whole = encode_rearranged(documents, encode, cutter(0.5))
    halves = [encode_rearranged(part, encode, cutter(0.5)) for part in (documents[:split], documents[split:])]
    assert whole.ids.tolist() == [*halves[0].ids.tolist(), *halves[1].ids.tolist()]
    plain = encode_rearranged(documents, encode, cutter(0.0))
    assert plain.ids.tolist() == encode(texts)[0].tolist() and plain.offsets.tolist() == encode(texts)[1].tolist()


def test_the_rates_of_the_recipe_are_realised_and_cuts_are_uniform() -> None:
    documents = [Doc("x" * 99 + str(number)) for number in range(4000)]
    cuts = [cutter(0.4, 0.25).cut(document) for document in documents]
    chosen = [cut for cut in cuts if cut is not None]
    # Four standard deviations of a binomial share.
    assert abs(len(chosen) / 4000 - 0.4) < 4 * (0.4 * 0.6 / 4000) ** 0.5
    assert abs(sum(cut.form == "spm" for cut in chosen) / len(chosen) - 0.25) < 4 * (0.25 * 0.75 / len(chosen)) ** 0.5
    shares = [(cut.start / 102, cut.end / 102) for cut in chosen]
    # The smaller and the larger of two uniform numbers are a third and two thirds on average, with variance 1/18.
    for side, mean in ((0, 1 / 3), (1, 2 / 3)):
        assert abs(np.mean([share[side] for share in shares]) - mean) < 4 * (1 / 18 / len(chosen)) ** 0.5 + 0.01


def test_seed_and_source_decide_and_each_is_enough_to_change_the_choice() -> None:
    documents = [Doc(f"text number {number}") for number in range(64)]

    def fate(seed: int, source: str) -> list[Any]:
        made = cutter_for(FimConfig(rate=0.5), seed, source, SPECIAL)
        return [made.cut(document) for document in documents]

    assert fate(1, "code") == fate(1, "code")
    assert fate(1, "code") != fate(2, "code")
    assert fate(1, "code") != fate(1, "more-code")


def test_a_vocabulary_without_the_tokens_is_refused_with_their_names_and_a_fix() -> None:
    with pytest.raises(UsageError, match=r"sources\[code\]\.fim: .* needs <\|fim_prefix\|> .*<fim_prefix>.*kind: bpe or"):
        cutter_for(FimConfig(), 1, "code", {"</s>": 2, "<fim_prefix>": 3})
    starcoder = {"<fim_prefix>": 1, "<fim_middle>": 2, "<fim_suffix>": 3}
    assert cutter_for(FimConfig(), 1, "code", starcoder).tokens.ids == (1, 2, 3)


def test_tokens_are_placed_as_the_paper_writes_them() -> None:
    document = Doc("abcdef")
    for form, spm in (("psm", 0.0), ("spm", 1.0)):
        made = cutter(1.0, spm)
        cut = made.cut(document)
        assert cut is not None and cut.form == form
        p, m, s = (list(part.encode()) for part in ("abcdef"[: cut.start], "abcdef"[cut.start : cut.end], "abcdef"[cut.end :]))
        ids = encode_rearranged([document], encode, made).ids.tolist()
        assert ids == ([PREFIX, *p, SUFFIX, *s, MIDDLE, *m] if form == "psm" else [PREFIX, SUFFIX, *s, MIDDLE, *p, *m])
    assert replace(made, seed=5).cut(document) is not None


def test_a_vocabulary_that_puts_a_space_before_every_text_is_refused() -> None:
    check_parts("code", encode, bytes)
    with pytest.raises(UsageError, match=r"sources\[code\]\.fim: .*comes back as ' def add.*Leave fim out, or take a vocabulary"):
        check_parts("code", lambda texts: encode([f" {text}" for text in texts]), bytes)
