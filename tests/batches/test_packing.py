"""Best-fit packing against the naive algorithm, and the laws that it has to keep."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.batches.packing import Packs, cut_by_windows, pack_documents

lengths_of = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def starts_of(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def naive(lengths: list[int], capacity: int) -> list[list[int]]:
    """The algorithm as the paper tells it: each piece into the fullest pack that still takes it."""
    pieces = [part for length in lengths for part in [capacity] * (length // capacity) + [length % capacity] if part]
    packs: list[list[int]] = []
    for piece in sorted(pieces, reverse=True):
        fitting = [pack for pack in packs if sum(pack) + piece <= capacity]
        if fitting:
            max(fitting, key=sum).append(piece)
        else:
            packs.append([piece])
    return packs


def contents(packs: Packs) -> list[list[int]]:
    return [packs.length_N[packs.pieces(pack)].tolist() for pack in range(packs.packs)]


@given(lengths_of, st.integers(2, 40))
@settings(max_examples=300)
def test_packs_are_those_of_the_naive_algorithm(lengths: list[int], capacity: int) -> None:
    found, wanted = contents(pack_documents(starts_of(lengths), capacity)), naive(lengths, capacity)
    assert sorted(sum(pack) for pack in found) == sorted(sum(pack) for pack in wanted)
    assert len(found) == len(wanted)


@given(lengths_of, st.integers(2, 40))
@settings(max_examples=300)
def test_every_token_is_in_exactly_one_pack_and_only_long_documents_are_cut(lengths: list[int], capacity: int) -> None:
    starts = starts_of(lengths)
    packs = pack_documents(starts, capacity)
    held = np.zeros(starts[-1], dtype=int)
    for start, length in zip(packs.start_N.tolist(), packs.length_N.tolist(), strict=True):
        held[start : start + length] += 1
    assert (held == 1).all()
    assert packs.fills.max() <= capacity
    assert packs.padding_tokens == packs.packs * capacity - starts[-1]
    whole = set(zip(packs.start_N.tolist(), packs.length_N.tolist(), strict=True))
    fitting = [(start, length) for start, length in zip(starts[:-1].tolist(), lengths, strict=True) if length <= capacity]
    assert whole >= set(fitting)
    assert packs.cut_documents == len(lengths) - len(fitting)
    assert packs.continues_N.sum() == sum((length - 1) // capacity for length in lengths)
    assert set(packs.start_N[~packs.continues_N].tolist()) == set(starts[:-1].tolist())
    again = pack_documents(starts, capacity)
    assert np.array_equal(again.start_N, packs.start_N) and np.array_equal(again.first_P1, packs.first_P1)


def test_pieces_of_a_pack_are_in_the_order_of_the_source() -> None:
    packs = pack_documents(starts_of([3, 5, 2, 6, 25, 4]), 10)
    for pack in range(packs.packs):
        starts = packs.start_N[packs.pieces(pack)]
        assert np.array_equal(starts, np.sort(starts))


@given(lengths_of, st.integers(1, 40))
def test_documents_that_windows_cut_are_counted_one_by_one(lengths: list[int], seq_tokens: int) -> None:
    starts = starts_of(lengths)
    windows = [(n * seq_tokens, n * seq_tokens + seq_tokens) for n in range((int(starts[-1]) - 1) // seq_tokens)]
    documents = zip(starts[:-1].tolist(), (starts[1:] - 1).tolist(), strict=True)
    cut = sum(not any(begin >= first and end <= last for first, last in windows) for begin, end in documents)
    assert cut_by_windows(starts, seq_tokens) == cut


@pytest.mark.parametrize("seed", [1, 2])
def test_much_text_is_packed_with_hardly_any_padding_and_few_cuts(seed: int) -> None:
    lengths = np.clip(np.random.default_rng(seed).lognormal(6, 1.3, 50_000).astype(np.int64), 1, 100_000)
    starts = starts_of(lengths.tolist())
    packs = pack_documents(starts, 2049)
    assert packs.padding_tokens < 1e-3 * starts[-1]
    assert packs.cut_documents < cut_by_windows(starts, 2048) / 3


def test_packing_takes_the_memory_that_it_says() -> None:
    lengths = np.random.default_rng(1).lognormal(6.3, 1.1, 100_000).astype(np.int64) + 1
    starts = np.concatenate([[0], np.cumsum(lengths)])
    tracemalloc.start()
    try:
        packs = pack_documents(starts, 2049)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    pieces = len(packs.start_N)
    # Other threads of the process may allocate something meanwhile, and are counted with it.
    assert 13 * pieces + 8 * packs.packs <= kept < 13.1 * pieces + 8 * packs.packs + 100_000
    assert peak < 43 * pieces
