"""Which windows make a sequence together when languages are to meet: the mixture's block, put in another order."""

from collections.abc import Sequence

import numpy as np

from pellucid.batches.mixture import Mixture

__all__ = ["LOOK_AHEAD", "arrange_by_language"]

LOOK_AHEAD = 64
"""A part may come this many places of the block before its turn, or wait while so many others pass it."""


def arrange_by_language(mixture: Mixture, language_S: Sequence[str], parts: int) -> Mixture:
    """Return the block with its places in another order: the places of a sequence are of different languages where possible.

    `language_S` is each source's language. A sequence takes the part whose turn it is, and then the next ones of languages that it
    does not have yet, among the `LOOK_AHEAD` that are due. So each sequence has as many languages as there are among those, and
    the counts of sources stay within `LOOK_AHEAD` of their shares at any place; at the end of the block they are exact. Where
    all is one language, nothing moves. `parts`, the places of a sequence, divide the block.
    """
    pattern = mixture.pattern_P.tolist()
    assert len(pattern) % parts == 0, "a sequence lies in one block"
    waiting, coming, order = pattern[:LOOK_AHEAD], LOOK_AHEAD, []
    for _ in range(len(pattern) // parts):
        met: set[str] = set()
        for _ in range(parts):
            place = next((n for n, source in enumerate(waiting) if language_S[source] not in met), 0)
            source = waiting.pop(place)
            met.add(language_S[source])
            order.append(source)
            waiting += pattern[coming : coming + 1]
            coming += 1
    pattern_P = np.array(order, dtype=np.int64)
    rank_P = np.empty(len(order), dtype=np.int64)
    for source, quota in enumerate(mixture.quota_S.tolist()):
        rank_P[pattern_P == source] = np.arange(quota)
    return Mixture(pattern_P, rank_P, mixture.quota_S)
