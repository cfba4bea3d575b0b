"""The heat map of needle in a haystack (Stable LM 2 report, Fig. 5), from the facts that the suite leaves in its result."""

import math
from collections.abc import Mapping
from typing import Any

from pellucid.report.blocks import Drawing
from pellucid.report.figures import HeatMap, heat_map

__all__ = ["needle_figure", "needle_score"]

_SHOWN = {"judge": "judge's rating", "exact": "exact match", "recall": "share of key words"}


def needle_score(facts: Mapping[str, Any]) -> str:
    """Return which score is drawn when none is named: the judge's rating where there is one, as in the report, or exact match."""
    return next(name for name in _SHOWN if name in facts["tables"])


def needle_figure(facts: Mapping[str, Any], score: str | None = None) -> Drawing:
    """Return, drawn, mean and standard deviation of a score over seeds, by length of the prompt and depth of the needle.

    `facts` are those of the suite `needle`. Colours cover all values that a score can have, so that figures of two models compare.
    With a single seed there is no deviation, and one map. Raises `KeyError` for a score that the facts do not have.
    """
    name = score or needle_score(facts)
    table = facts["tables"][name]
    low, high = table["limits"]
    maps = [HeatMap(f"{_SHOWN[name]}, mean ({low:g} to {high:g})", _columns(table["mean"]), (low, high))]
    seeds = facts["seeds"]
    if seeds > 1:
        # What half of the seeds at one end and half at the other give (n - 1 in the denominator).
        most = (high - low) / 2 * math.sqrt(seeds / (seeds - 1))
        deviation = _columns(table["deviation"])
        maps.append(HeatMap(f"standard deviation over {seeds} seeds", deviation, (0.0, most), "Greys"))
    lengths, depths = [str(length) for length in facts["lengths"]], [f"{depth:.0f}" for depth in facts["depths_percent"]]
    return heat_map(maps, lengths, depths, "tokens of the prompt", "depth of the needle, %")


def _columns(rows: list[list[float | None]]) -> list[list[float | None]]:
    """Return a table of lengths × depths as depths × lengths."""
    return [list(column) for column in zip(*rows, strict=True)]
