"""Tokens that several stages read, each counted once."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.batches import unique
from pellucid.batches.order import DataOrder
from pellucid.batches.packed import PackedOrder
from pellucid.batches.unique import run_use

Make = Callable[..., Any]


def read_by(order: DataOrder, total: int, name: str) -> set[int]:
    """The tokens of a source that were read, one by one: targets of windows, all tokens of packs."""
    first = 0 if order.packing == "best_fit" else 1
    pieces = [piece for index in range(total) for piece in order.sequence(index).pieces if piece.source == name]
    return {token for piece in pieces for token in range(piece.start + first, piece.start + piece.tokens)}


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([16, 24]), st.booleans())
@settings(max_examples=40)
def test_stages_of_any_kind_are_put_together_token_by_token(
    make_stream: Make, first: int, second: int, seq_tokens: int, packed: bool
) -> None:
    sources = {"a": make_stream(*[9, 30, 14, 2] * 12, seed=1), "b": make_stream(500, seed=2)}
    one = DataOrder(sources, {"a": 2, "b": 1}, 16, seed=1)
    kind = PackedOrder if packed else DataOrder
    other = kind(sources, {"a": 1, "b": 0.2}, seq_tokens, 2)
    found = run_use([(one, first), (other, second)])
    for name, use in found.items():
        read = read_by(one, first, name) | read_by(other, second, name)
        assert use["unique_tokens"] == use["at_least"] == use["at_most"] == len(read)
        uses = one.consumed(first)[name], other.consumed(second)[name]
        assert use["tokens"] == sum(each["tokens"] for each in uses)
        assert use["epochs"] == pytest.approx(sum(each["epochs"] for each in uses))


def test_where_counting_is_dear_bounds_are_given(make_stream: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"a": make_stream(1601, seed=1)}
    served = [(DataOrder(sources, {"a": 1}, 16, seed=seed), total) for seed, total in ((1, 40), (2, 70))]
    exact = run_use(served)["a"]
    monkeypatch.setattr(unique, "EXACT_SPANS", 100)
    bounds = run_use(served)["a"]
    assert bounds["unique_tokens"] is None
    assert (bounds["at_least"], bounds["at_most"]) == (70 * 16, 1601)
    assert exact["unique_tokens"] is not None and 70 * 16 < exact["unique_tokens"] < 1600
    # One stage alone, or one that has read everything, needs no counting.
    assert run_use(served[:1])["a"]["unique_tokens"] == 640


def test_the_limit_is_on_the_pieces_of_packs_rather_than_on_packs(make_stream: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"a": make_stream(*[3, 4, 5] * 40, seed=1)}
    served: list[tuple[DataOrder, int]] = [(PackedOrder(sources, {"a": 1}, 16, seed), total) for seed, total in ((1, 10), (2, 14))]
    pieces = sum(len(order.spans("a", total)[0]) for order, total in served)
    assert sum(order.spans_read("a", total) for order, total in served) == pieces > 3 * (10 + 14)
    for limit, is_exact in ((pieces, True), (pieces - 1, False)):
        monkeypatch.setattr(unique, "EXACT_SPANS", limit)
        assert (run_use(served)["a"]["unique_tokens"] is not None) == is_exact
