"""Curves of any length in bounded memory: means, lows and highs of buckets of steps, so that no spike is lost."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "Curves", "smoothed"]

_BUCKETS = 2048
_MOST_CHANNELS = 512

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """K points of one channel: the step (or token) that each bucket ends with, and mean, lowest and highest value in it.

    Buckets in which the channel has no value are left out.
    """

    x_K: Floats
    mean_K: Floats
    low_K: Floats
    high_K: Floats

    def __len__(self) -> int:
        return len(self.x_K)

    def since(self, x: float) -> "Curve":
        """Return the part from `x` on."""
        keep_K = self.x_K >= x
        return Curve(self.x_K[keep_K], self.mean_K[keep_K], self.low_K[keep_K], self.high_K[keep_K])


class Curves:
    """Channels over the records of one stage. A bucket holds `stride` records; when all are full, neighbours are put together.

    So a bucket's place depends on the number of records alone, and adding them one by one or by the million gives the same.
    """

    def __init__(self, buckets: int = _BUCKETS) -> None:
        assert buckets % 2 == 0, "pairs are put together"
        self.stride = 1
        self.records = 0
        self.is_full = False
        """Whether there are more channels than are kept."""
        self._buckets = buckets
        self._rows: dict[str, int] = {}
        self._x_2K = np.zeros((2, buckets))
        self._sum_CK, self._count_CK, self._low_CK, self._high_CK = (np.empty((0, buckets)) for _ in range(4))

    @property
    def names(self) -> tuple[str, ...]:
        """The channels, in the order in which they came up."""
        return tuple(self._rows)

    @property
    def filled(self) -> int:
        """K, the buckets in use."""
        return -(-self.records // self.stride)

    def extend(self, steps_N: Floats, tokens_N: Floats, columns: Mapping[str, Floats]) -> None:
        """Add N records: their steps, tokens so far, and the values of channels, NaN where a record has none."""
        for name in columns:
            self._row(name)
        done, count = 0, len(steps_N)
        while done < count:
            room = self._buckets * self.stride - self.records
            if not room:
                self._join_neighbours()
                continue
            part = slice(done, done + min(room, count - done))
            self._add(steps_N[part], tokens_N[part], {name: values_N[part] for name, values_N in columns.items()})
            done = part.stop

    def curve(self, name: str, *, by_tokens: bool = False, first: int = 0) -> Curve:
        """Return one channel, over steps or over tokens, from bucket `first` on; empty when there is no such channel."""
        row = self._rows.get(name)
        if row is None:
            return Curve(*(np.empty(0) for _ in range(4)))
        part = slice(first, self.filled)
        count_K = self._count_CK[row, part]
        kept_K = count_K > 0
        mean_K = self._sum_CK[row, part][kept_K] / count_K[kept_K]
        x_K = self._x_2K[int(by_tokens), part][kept_K]
        return Curve(x_K, mean_K, self._low_CK[row, part][kept_K], self._high_CK[row, part][kept_K])

    def table(self, first: int = 0) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Return steps and tokens of the buckets from `first` on, (2, K), and for each channel mean, low and high, (3, K)."""
        part = slice(first, self.filled)
        found = {}
        for name, row in self._rows.items():
            count_K = self._count_CK[row, part]
            mean_K = np.divide(self._sum_CK[row, part], count_K, out=np.full(len(count_K), np.nan), where=count_K > 0)
            found[name] = np.stack([mean_K, self._low_CK[row, part], self._high_CK[row, part]])
        return self._x_2K[:, part], found

    def _row(self, name: str) -> int | None:
        row = self._rows.get(name)
        if row is not None:
            return row
        if len(self._rows) >= _MOST_CHANNELS:
            self.is_full = True
            return None
        row = self._rows[name] = len(self._rows)
        if row >= len(self._sum_CK):
            more = max(16, row)
            fills = ((self._sum_CK, 0.0), (self._count_CK, 0.0), (self._low_CK, np.nan), (self._high_CK, np.nan))
            grown = [np.concatenate([old, np.full((more, self._buckets), fill)]) for old, fill in fills]
            self._sum_CK, self._count_CK, self._low_CK, self._high_CK = grown
        return row

    def _add(self, steps_N: Floats, tokens_N: Floats, columns: Mapping[str, Floats]) -> None:
        bucket_N = (self.records + np.arange(len(steps_N))) // self.stride
        starts_S = np.flatnonzero(np.diff(bucket_N, prepend=-1))
        bucket_S = bucket_N[starts_S]
        ends_S = np.append(starts_S[1:], len(steps_N)) - 1
        self._x_2K[:, bucket_S] = steps_N[ends_S], tokens_N[ends_S]
        for name, values_N in columns.items():
            row = self._rows.get(name)
            if row is None:
                continue
            known_N = ~np.isnan(values_N)
            self._sum_CK[row, bucket_S] += np.add.reduceat(np.where(known_N, values_N, 0.0), starts_S)
            self._count_CK[row, bucket_S] += np.add.reduceat(known_N.astype(float), starts_S)
            self._low_CK[row, bucket_S] = np.fmin(self._low_CK[row, bucket_S], np.fmin.reduceat(values_N, starts_S))
            self._high_CK[row, bucket_S] = np.fmax(self._high_CK[row, bucket_S], np.fmax.reduceat(values_N, starts_S))
        self.records += len(steps_N)

    def _join_neighbours(self) -> None:
        half = self._buckets // 2
        self._x_2K[:, :half] = self._x_2K[:, 1::2]
        for table_CK, join, fill in (
            (self._sum_CK, np.add, 0.0),
            (self._count_CK, np.add, 0.0),
            (self._low_CK, np.fmin, np.nan),
            (self._high_CK, np.fmax, np.nan),
        ):
            table_CK[:, :half] = join(table_CK[:, 0::2], table_CK[:, 1::2])
            table_CK[:, half:] = fill
        self.stride *= 2


def smoothed(curve: Curve, share: float = 0.01) -> Floats:
    """Return a curve's points with the noise taken out, shape (K,): means whose weights fall off over `share` of the points.

    Exponential means from the left, then of those from the right, so that nothing moves sideways; the last point is the plain
    exponential mean of all before it. First values have no pull (as Adam corrects its moments).
    """
    keep = 1.0 - 1.0 / max(1.0, share * len(curve))
    return np.array(_means(_means(curve.mean_K.tolist(), keep)[::-1], keep)[::-1])


def _means(values: list[float], keep: float) -> list[float]:
    found, level, weight, share = [], 0.0, 0.0, 1.0 - keep
    for value in values:
        level = keep * level + share * value
        weight = keep * weight + share
        found.append(level / weight)
    return found
