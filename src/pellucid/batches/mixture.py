"""Which source each sequence comes from: exact quotas over a block of sequences, spread evenly inside it.

The block of `BLOCK_SEQS` sequences repeats for ever, so the source of any sequence is one table look-up. Within the block the
number of sequences taken from a source never differs by one whole sequence from its share of those served so far.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from pellucid.core.errors import DataError

__all__ = ["BLOCK_SEQS", "Mixture", "build_mixture", "check_weights"]

BLOCK_SEQS = 2**14


@dataclass(frozen=True, eq=False)
class Mixture:
    """One block of the mixture. S sources, P sequences in the block.

    `pattern_P` is the source of each sequence, `rank_P` counts earlier sequences of that source in the block, and `quota_S` is
    how many sequences each source has in the block (they add up to P).
    """

    pattern_P: NDArray[np.int64]
    rank_P: NDArray[np.int64]
    quota_S: NDArray[np.int64]

    def visits(self, index_N: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the source of each sequence number, and how often that source was visited before it."""
        block_N, place_N = np.divmod(index_N, len(self.pattern_P))
        source_N = self.pattern_P[place_N]
        return source_N, block_N * self.quota_S[source_N] + self.rank_P[place_N]

    def counts(self, total_seqs: int) -> NDArray[np.int64]:
        """Return how many of the first `total_seqs` sequences come from each source, shape (S,), without walking through them."""
        blocks, rest = divmod(total_seqs, len(self.pattern_P))
        return blocks * self.quota_S + np.bincount(self.pattern_P[:rest], minlength=len(self.quota_S))


def check_weights(weights: Mapping[str, float], known: Mapping[str, object], block_seqs: int = BLOCK_SEQS) -> list[str]:
    """Return one line for each thing that is wrong with the weights; an empty list when they can be served."""
    faults = []
    for name, weight in weights.items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the sources are: {', '.join(sorted(known)) or 'none'}"
            faults.append(f"weights.{name}: no such source; {hint}")
        if not 0 <= weight < float("inf"):
            faults.append(f"weights.{name}: got {weight}; must be a finite number, 0 or above")
    if faults:
        return faults
    total = sum((Fraction(weight) for weight in weights.values()), Fraction(0))
    if total == 0:
        names = ", ".join(sorted(known)) or "none"
        return [f"weights: no source has a weight above 0 (sources: {names}); give at least one a weight"]
    for name, weight in weights.items():
        if 0 < Fraction(weight) * block_seqs < total:
            # A thousandth more than the least weight, so that it holds after rounding to four digits.
            least = 1.001 * float((total - Fraction(weight)) / (block_seqs - 1))
            faults.append(
                f"weights.{name}: got {weight:g}, a share of {weight / float(total):.3g}; the smallest share that can be kept is "
                f"one sequence in a block of {block_seqs} ({1 / block_seqs:.3g}); set it to 0 or to at least {least:.4g}"
            )
    return faults


def build_mixture(weights: Mapping[str, float], block_seqs: int = BLOCK_SEQS) -> Mixture:
    """Return the block for these weights (all above 0; they need not add up to 1), source numbers in the mapping's order.

    Quotas are the weights' shares of the block, rounded by largest remainder. The order inside the block is earliest deadline
    first, in exact arithmetic: visit j of a source with share w may not come before place ⌊j/w⌋ nor after place ⌈(j+1)/w⌉ − 1,
    which is the same as saying that after any i sequences its count is w·i rounded down or up. Such an order exists for any
    shares (R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32, 1980; Hall's condition holds for these
    intervals), and earliest deadline first finds it. Raises `DataError` when `check_weights` finds a fault.
    """
    if faults := check_weights(weights, weights, block_seqs):
        raise DataError("the mixture cannot be served\n  " + "\n  ".join(faults))
    exact = [Fraction(weight) for weight in weights.values()]
    shares = [weight / sum(exact) for weight in exact]
    quotas = _round_to_quotas(shares, block_seqs)
    pattern_P = np.array(_earliest_deadline_first(shares, quotas, block_seqs), dtype=np.int64)
    rank_P = np.empty(block_seqs, dtype=np.int64)
    for source, quota in enumerate(quotas):
        rank_P[pattern_P == source] = np.arange(quota)
    return Mixture(pattern_P, rank_P, np.array(quotas, dtype=np.int64))


def _round_to_quotas(shares: list[Fraction], block_seqs: int) -> list[int]:
    """Round shares of the block to integers that add up to it; ties go to the source named first."""
    quotas = [int(share * block_seqs) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda source: quotas[source] - shares[source] * block_seqs)
    for source in by_remainder[: block_seqs - sum(quotas)]:
        quotas[source] += 1
    return quotas


def _earliest_deadline_first(shares: list[Fraction], quotas: list[int], block_seqs: int) -> list[int]:
    """Return the source of each place in the block: of the visits that may come now, the one that must come soonest."""
    # A visit is one number, deadline · S + source, so that the heap orders by deadline and no object is made for each.
    sources = len(shares)
    visits, releases = [], []
    for source, (share, quota) in enumerate(zip(shares, quotas, strict=True)):
        top, bottom = share.denominator, share.numerator
        releases += [visit * top // bottom for visit in range(quota)]
        visits += [min(-(-visit * top // bottom), block_seqs) * sources + source for visit in range(1, quota + 1)]
    by_release = sorted(range(block_seqs), key=releases.__getitem__)
    waiting: list[int] = []
    order = []
    arrived = 0
    for place in range(block_seqs):
        while arrived < block_seqs and releases[by_release[arrived]] <= place:
            heappush(waiting, visits[by_release[arrived]])
            arrived += 1
        order.append(heappop(waiting) % sources)
    return order
