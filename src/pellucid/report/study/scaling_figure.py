"""A ladder of sizes as a drawing: loss over compute, both by logs, the law with its band, the runs, and what was forecast."""

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from pellucid.report.blocks import Drawing
from pellucid.report.canvas import COLOURS, WIDTH, canvas, plain_name, svg_of

__all__ = ["ladder_drawing"]

Found = Mapping[str, Any]
Row = tuple[str | float | None, ...]

_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_FEW_DECADES = 2.5  # of compute, that have room for 2 and 5 between them


def ladder_drawing(found: Found, y_label: str) -> Drawing:
    """Draw what `analyse_scaling` found: runs as dots, their means as bars across, forecasts as open marks with their intervals."""
    figure, axes = canvas(WIDTH, 3.2)
    rows = [*_draw_law(axes, found), *_draw_rungs(axes, found["rungs"]), *_draw_forecasts(axes, found["forecasts"])]
    values = [value for row in rows for value in row[2:] if isinstance(value, float)]
    _scale(axes, [row["flops"] for row in found["rungs"]], values)
    axes.set_xlabel("FLOPs of training")
    axes.set_ylabel(plain_name(y_label))
    axes.legend(fontsize=7)
    return Drawing(svg_of(figure), ("", "FLOPs", y_label, "low", "high"), tuple(rows))


def _draw_law(axes: Any, found: Found) -> list[Row]:
    curve = found["curve"] or []
    if not curve:
        return []
    x, y = [point["flops"] for point in curve], [point["value"] for point in curve]
    axes.plot(x, y, color=COLOURS[0], linewidth=1.4, label="law", zorder=2)
    if curve[0]["low"] is not None:
        low, high = [point["low"] for point in curve], [point["high"] for point in curve]
        axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.16, linewidth=0, label="95 % of new runs", zorder=1)
    return [("law", point["flops"], point["value"], point["low"], point["high"]) for point in curve]


def _draw_rungs(axes: Any, rungs: Sequence[Found]) -> list[Row]:
    rows: list[Row] = []
    for fitted, colour, label in ((True, COLOURS[0], "rungs fitted"), (False, COLOURS[5], "rungs forecast, as they came")):
        own = [rung for rung in rungs if rung["is_forecast"] is not fitted and rung["mean"] is not None]
        runs = [(rung, value) for rung in own for value in rung["values"]]
        axes.plot(
            [rung["flops"] for rung, _ in runs], [value for _, value in runs],
            linestyle="none", marker="o", markersize=2.6, color=colour, alpha=0.55, zorder=4,
        )  # fmt: skip
        if own:
            x, y = [rung["flops"] for rung in own], [rung["mean"] for rung in own]
            axes.plot(x, y, linestyle="none", marker="_", markersize=11, color=colour, label=plain_name(label), zorder=3)
        rows += [(f"{rung['rung']}, mean", rung["flops"], rung["mean"], None, None) for rung in own]
        rows += [(f"{rung['rung']}, a run", rung["flops"], value, None, None) for rung, value in runs]
    return rows


def _draw_forecasts(axes: Any, forecasts: Sequence[Found]) -> list[Row]:
    known = [one for one in forecasts if one["value"] is not None]
    for one in known:
        if one["low"] is not None:
            axes.plot([one["flops"]] * 2, [one["low"], one["high"]], color=COLOURS[8], linewidth=1.2, zorder=3)
    if known:
        x, y = [one["flops"] for one in known], [one["value"] for one in known]
        style = {"markerfacecolor": "none", "color": COLOURS[8], "label": "forecast"}
        axes.plot(x, y, linestyle="none", marker="D", markersize=6, zorder=5, **style)
    return [(f"{one['rung']}, forecast", one["flops"], one["value"], one["low"], one["high"]) for one in known]


def _scale(axes: Any, x: Sequence[float], y: Sequence[float]) -> None:
    """Put both axes on logs, with ticks as they would be written by hand."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.04)
    first, last = math.floor(math.log10(min(x))), math.ceil(math.log10(max(x)))
    steps = (1, 2, 5) if math.log10(max(x) / min(x)) < _FEW_DECADES else (1,)
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    axes.set_xticks([tick for tick in ticks if 0.8 * min(x) <= tick <= 1.25 * max(x)] or [min(x)])
    axes.set_xticklabels([_power(tick) for tick in axes.get_xticks()])
    if y:
        low, high = min(y), max(y)
        found = import_module("matplotlib.ticker").MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        axes.set_yticks([tick for tick in found if 0.98 * low <= tick <= 1.02 * high and tick > 0] or [low])
        axes.set_yticklabels([f"{tick:.4g}" for tick in axes.get_yticks()])
    axes.minorticks_off()


def _power(number: float) -> str:
    """Return 2e13 as '2·10¹³'."""
    factor, _, power = f"{number:.0e}".partition("e")
    raised = f"10{str(int(power)).translate(_RAISED)}"
    return raised if factor == "1" else f"{factor}·{raised}"
