"""Losses that stand out of those before them, found as `train/spikes.py` finds them, so that a curve can point at them."""

import statistics

import numpy as np
from numpy.typing import NDArray

__all__ = ["SpikeFinder"]

_WINDOW = 128
_EVERY = 32
_DEVIATIONS = 8.0
_LEAST_SHARE = 0.05
_MOST = 400


class SpikeFinder:
    """Marks losses more than eight robust standard deviations, and 5 %, above the median of up to 128 before them.

    The threshold is worked out anew after every 32nd loss, however they arrive; nothing is marked before there are 64.
    `found` holds (step, loss) of the newest ones, `count` says how many there were.
    """

    def __init__(self) -> None:
        self.found: list[tuple[int, float]] = []
        self.count = 0
        self._recent: list[float] = []
        self._limit = np.inf
        self._until_next = 2 * _EVERY

    def extend(self, steps_N: NDArray[np.float64], losses_N: NDArray[np.float64]) -> None:
        """Look at further losses; those that are NaN are passed over."""
        known_N = ~np.isnan(losses_N)
        steps, losses = steps_N[known_N], losses_N[known_N]
        done = 0
        while done < len(losses):
            part = slice(done, done + self._until_next)
            high = losses[part] > self._limit
            for step, loss in zip(steps[part][high].tolist(), losses[part][high].tolist(), strict=True):
                self.count += 1
                self.found.append((int(step), loss))
            self._recent.extend(losses[part][~high].tolist())
            self._until_next -= len(losses[part])
            done += len(losses[part])
            if not self._until_next:
                self._renew()
        del self.found[:-_MOST]

    def _renew(self) -> None:
        del self._recent[:-_WINDOW]
        self._until_next = _EVERY
        if len(self._recent) < 2 * _EVERY:
            return
        usual = statistics.median(self._recent)
        deviation = 1.4826 * statistics.median([abs(loss - usual) for loss in self._recent])
        self._limit = max(usual + _DEVIATIONS * deviation, usual + _LEAST_SHARE * abs(usual))
