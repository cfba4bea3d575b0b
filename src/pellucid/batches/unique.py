"""How many different tokens several stages have read: each has an order of its own, so what they share has to be found out."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from pellucid.batches.order import DataOrder

__all__ = ["EXACT_SPANS", "RunUse", "run_use"]

EXACT_SPANS = 1 << 24
"""Spans (windows, or the pieces of packs) of one source that are looked at for an exact count; beyond it, bounds are given."""


class RunUse(TypedDict):
    """What all stages so far took from one source. Tokens are counted as in `SourceUse`, padding included.

    `unique_tokens` were read at least once, and lie between `at_least` and `at_most`; it is None where counting was not cheap.
    """

    tokens: int
    epochs: float
    unique_tokens: int | None
    at_least: int
    at_most: int


def run_use(served: Sequence[tuple[DataOrder, int]]) -> dict[str, RunUse]:
    """Return the account over stages, by source, of orders and how many sequences of each were read.

    The orders of two stages are different permutations of windows that may have different lengths, so the windows that were read
    are put together and counted: exact, up to `EXACT_SPANS` of a source.
    """
    accounts = [(order, total, order.consumed(total)) for order, total in served]
    found = {}
    for name in sorted({name for _, _, account in accounts for name in account}):
        uses = [account[name] for _, _, account in accounts if name in account]
        seen, available = [use["seen_tokens"] for use in uses], uses[0]["available_tokens"]
        at_least, at_most = max(seen), min(sum(seen), available)
        unique: int | None = at_least if len(seen) == 1 or at_least == at_most else None
        if unique is None and sum(order.spans_read(name, total) for order, total in served) <= EXACT_SPANS:
            unique = at_least = at_most = _covered([order.spans(name, total) for order, total in served])
        if unique is not None:
            at_least = at_most = unique
        tokens = sum(use["tokens"] for use in uses)
        found[name] = RunUse(
            tokens=tokens,
            epochs=sum(use["epochs"] for use in uses),
            unique_tokens=unique,
            at_least=at_least,
            at_most=at_most,
        )
    return found


def _covered(spans: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """Return how many tokens lie in at least one span."""
    start_N, length_N = (np.concatenate(parts) for parts in zip(*spans, strict=True))
    order = np.argsort(start_N, kind="stable")
    start_N, end_N = start_N[order], (start_N + length_N)[order]
    reached_N = np.maximum.accumulate(end_N)
    before_N = np.concatenate([[0], reached_N[:-1]])
    return int(np.maximum(0, end_N - np.maximum(start_N, before_N)).sum())
