"""The grid of lengths, depths and seeds: its items, and the tables that a heat map is drawn from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.evals.sampling import pick
from pellucid.recipe.suites import NeedleConfig

__all__ = ["Cell", "Grid", "choose_grid", "mean_and_deviation"]

REPORT_LENGTHS, REPORT_DEPTHS, REPORT_SEEDS = tuple(range(500, 4001, 500)), 35, 10
QUICK_TOKENS, QUICK_DEPTHS, QUICK_SEEDS = 600, 5, 2


@dataclass(frozen=True, slots=True)
class Cell:
    """One question: the prompt's `length` in tokens, the needle's `depth` in percent, the number of the haystack."""

    length: int
    depth: float
    seed: int

    @property
    def item(self) -> str:
        """LENGTH/DEPTH/SEED."""
        return f"{self.length}/{self.depth:g}/{self.seed}"


@dataclass(frozen=True)
class Grid:
    """Lengths in tokens, depths in percent, number of seeds."""

    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    seeds: int

    def cells(self) -> Iterator[Cell]:
        """Yield all cells, those of a seed together."""
        for seed in range(self.seeds):
            for length in self.lengths:
                for depth in self.depths:
                    yield Cell(length, depth, seed)

    def chosen(self, seed: int, limit: int | None) -> list[Cell]:
        """Return the cells to be asked: all, or `limit` of them chosen by the seed."""
        return pick(list(self.cells()), limit, seed, "limit", key=lambda cell: cell.item)

    def only(self, lengths: Sequence[int]) -> "Grid":
        """Return the grid with these lengths."""
        return Grid(tuple(lengths), self.depths, self.seeds)


def choose_grid(config: NeedleConfig, room: int | None) -> Grid:
    """Return the grid of the report, or the quick one: a quarter, half and all of 600 tokens or of the `room` for a prompt.

    What the user gave is kept in a quick grid as well.
    """
    lengths, depths, seeds = REPORT_LENGTHS, REPORT_DEPTHS, REPORT_SEEDS
    if config.quick:
        most = QUICK_TOKENS if room is None else min(QUICK_TOKENS, max(room, 1))
        most = most // 40 * 40 or most  # so that its parts are round
        lengths = tuple(length for length in (most // 4, most // 2, most) if length)
        depths, seeds = QUICK_DEPTHS, QUICK_SEEDS
    return Grid(tuple(sorted(config.lengths or lengths)), percents(config.depths or depths), config.seeds or seeds)


def percents(count: int) -> tuple[float, ...]:
    """Return this many depths from 0 to 100 %, to two decimals; a single one is the middle."""
    if count == 1:
        return (50.0,)
    return tuple(round(100 * index / (count - 1), 2) for index in range(count))


def mean_and_deviation(grid: Grid, values: Mapping[str, float], limits: tuple[float, float]) -> dict[str, Any]:
    """Return a score's tables over lengths × depths: mean and standard deviation (n - 1) over seeds, how many seeds were scored.

    `values` are by item. Where nothing was scored there is None, and a deviation needs two. `limits` are the least and the greatest
    value there can be. `seeds` are the means over the grid of each seed, `value` is the mean of these.
    """
    mean, deviation, count = [], [], []
    for length in grid.lengths:
        cells = [[values[item] for item in _items(grid, length, depth) if item in values] for depth in grid.depths]
        mean.append([_mean(cell) for cell in cells])
        deviation.append([_deviation(cell) for cell in cells])
        count.append([len(cell) for cell in cells])
    by_seed: dict[int, list[float]] = {}
    for cell in grid.cells():
        if cell.item in values:
            by_seed.setdefault(cell.seed, []).append(values[cell.item])
    means = [float(np.mean(found)) for found in by_seed.values()]
    overall = {"value": _mean(means), "deviation_of_seeds": _deviation(means), "seeds": means}
    return {"limits": list(limits), **overall, "mean": mean, "deviation": deviation, "count": count}


def _items(grid: Grid, length: int, depth: float) -> Iterable[str]:
    return (Cell(length, depth, seed).item for seed in range(grid.seeds))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
