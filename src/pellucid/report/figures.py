"""Figures as SVG text: the same numbers give the same bytes, and the letters stay text."""

import io
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from pellucid.core.errors import MissingExtraError

__all__ = ["Spread", "bars", "curves", "dots", "stacked_share"]

Spread = tuple[float, float | None, float | None]
"""A value with the ends of its interval, None where there is no interval."""

# Okabe and Ito's palette: told apart by readers with any colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A6D00", "#999999", "#000000")
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "pellucid",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8b8f94",
    "axes.labelcolor": "#33383d",
    "xtick.color": "#33383d",
    "ytick.color": "#33383d",
    "axes.grid": True,
    "grid.color": "#e3e6e8",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure and its axes, drawn without any window system; raise `MissingExtraError` without matplotlib."""
    try:
        matplotlib = import_module("matplotlib")
        figure_module = import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report", "Drawing the report's figures") from error
    matplotlib.rcParams.update(_STYLE)
    figure = figure_module.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    # The metadata only says who drew it, with links to the outside.
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str, *, faint: Sequence[str] = ()
) -> str:
    """Draw one line per name over a common x; those in `faint` lie behind, thin (raw values under their mean)."""
    figure, axes = _canvas(7.2, 3.0)
    colours = iter(COLOURS)
    for name, (x, y) in lines.items():
        if name in faint:
            axes.plot(x, y, color="#b9c4cc", linewidth=0.7, label=name, zorder=1)
        else:
            axes.plot(x, y, color=next(colours), linewidth=1.6, label=name, zorder=2)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.margins(x=0.01)
    if len(lines) > 1:
        axes.legend()
    return _svg(figure)


def bars(names: Sequence[str], series: Mapping[str, Sequence[float | None]], y_label: str) -> str:
    """Draw grouped bars: one group per name, one colour per series; a missing value leaves a gap."""
    figure, axes = _canvas(7.2, 3.0)
    width = 0.8 / len(series)
    for index, (label, values) in enumerate(series.items()):
        places = [n + (index - (len(series) - 1) / 2) * width for n in range(len(names))]
        heights = [0.0 if value is None else value for value in values]
        drawn = axes.bar(places, heights, width * 0.92, color=COLOURS[index], label=label)
        texts = ["" if value is None else f"{value:.2f}" for value in values]
        axes.bar_label(drawn, texts, fontsize=7, padding=1, color="#33383d")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(y_label)
    axes.grid(axis="x", visible=False)
    axes.margins(y=0.14)
    axes.legend(ncols=len(series), loc="upper right")
    return _svg(figure)


def dots(names: Sequence[str], series: Mapping[str, Sequence[Spread | None]], x_label: str) -> str:
    """Draw a dot with its interval for each name (from top to bottom) and series, side by side; None leaves a gap."""
    figure, axes = _canvas(7.2, 0.5 + len(names) * (0.16 * len(series) + 0.16) + 0.24)
    step = 0.7 / len(series)
    for index, (label, values) in enumerate(series.items()):
        known = [(row, value) for row, value in enumerate(values) if value is not None]
        places = [row + (index - (len(series) - 1) / 2) * step for row, _ in known]
        middles = [value for _, (value, _, _) in known]
        colour = COLOURS[index % len(COLOURS)]
        for place, (_, (_, low, high)) in zip(places, known, strict=True):
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=colour, linewidth=1.4, solid_capstyle="round", alpha=0.55, zorder=2)
        axes.plot(middles, places, linestyle="none", marker="o", markersize=5, color=colour, label=label, zorder=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(x_label)
    axes.grid(axis="y", visible=False)
    for between in range(1, len(names)):
        axes.axhline(between - 0.5, color="#e3e6e8", linewidth=0.6, zorder=0)
    if len(series) > 1:
        figure.legend(loc="outside upper left", ncols=2)
    return _svg(figure)


def stacked_share(shares: Mapping[str, float]) -> str:
    """Draw shares of a whole as horizontal bars, largest first, in percent."""
    figure, axes = _canvas(7.2, 0.34 * len(shares) + 0.5)
    ordered = sorted(shares.items(), key=lambda item: item[1])
    drawn = axes.barh([name for name, _ in ordered], [100 * share for _, share in ordered], color=COLOURS[0], height=0.7)
    axes.bar_label(drawn, [f"{100 * share:.1f} %" for _, share in ordered], fontsize=8, padding=3, color="#33383d")
    axes.set_xlabel("share of trained tokens, %")
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1)
    return _svg(figure)
