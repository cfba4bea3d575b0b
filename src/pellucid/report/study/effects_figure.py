"""Effects of an axis as a drawing: differences from the baseline with their intervals, and those of single seeds beside them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.report.blocks import Drawing
from pellucid.report.canvas import COLOURS, WIDTH, canvas, plain_name, svg_of

__all__ = ["difference_drawing"]

_TOLD, _UNTOLD = COLOURS[0], "#6f767d"


def difference_drawing(rows: Sequence[Mapping[str, Any]], x_label: str) -> Drawing:
    """Draw rows of `effects_of`, from top to bottom: those that can be told apart from the baseline in colour, the others grey.

    A row without a difference leaves a gap. The numbers behind it have a row for each level and for each single difference.
    """
    figure, axes = canvas(WIDTH, 0.7 + 0.34 * len(rows))
    behind: list[tuple[str | float | None, ...]] = []
    for place, row in enumerate(rows):
        value, low, high = row["difference"], row["low"], row["high"]
        behind.append((row["level"], value, low, high))
        behind += [(f"{row['level']}, one of {len(row['paired'])}", single, None, None) for single in row["paired"]]
        if value is None:
            continue
        colour = _TOLD if row["verdict"] in ("better", "worse") else _UNTOLD
        below = [place + 0.22] * len(row["paired"])
        axes.plot(row["paired"], below, linestyle="none", marker="o", markersize=2.4, color=colour, alpha=0.6, zorder=2)
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="round", zorder=3)
        axes.plot([value], [place], linestyle="none", marker="o", markersize=5.5, color=colour, zorder=4)
    axes.axvline(0, color="#33383d", linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(rows)), [plain_name(row["level"]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(plain_name(x_label))
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.06)
    return Drawing(svg_of(figure), ("", x_label, "low", "high"), tuple(behind))
