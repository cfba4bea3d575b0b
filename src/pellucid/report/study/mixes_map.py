"""A map of differences: levels by groups of text, colours from better to worse, cells that cannot be told apart from 0 hatched."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from pellucid.core.scores import MINUS
from pellucid.report.blocks import Drawing
from pellucid.report.canvas import WIDTH, canvas, plain_name, svg_of

__all__ = ["Difference", "difference_map"]

_COLOURS = "PuOr_r"  # told apart by readers with any colour vision: purple is better, orange worse
_SAME = "#f2f5f7"
_CHARACTERS_WIDE = 52  # of names that stand beside each other under the map


@dataclass(frozen=True)
class Difference:
    """One cell: a difference of which less is better, and whether it can be told apart from 0."""

    value: float
    is_sure: bool

    @property
    def text(self) -> str:
        """The value with its sign, in three digits at most after the point; in brackets where it may be 0."""
        shown = f"{abs(self.value):.2f}" if abs(self.value) >= 0.9995 else f"{abs(self.value):.3f}"
        signed = shown if not shown.strip("0.") else f"{'+' if self.value > 0 else MINUS}{shown}"
        return signed if self.is_sure else f"({signed})"


def difference_map(
    cells: Sequence[Sequence[Difference | None]], rows: Sequence[str], columns: Sequence[str], x_label: str, unit: str
) -> Drawing:
    """Draw one row for each of `rows` from the top, one cell for each of `columns`; a cell of None has no value and is empty.

    Colours reach as far on both sides of 0 as the greatest sure difference.
    """
    figure, axes = canvas(WIDTH, 1.1 + 0.3 * len(rows))
    sure = [abs(one.value) for row in cells for one in row if one is not None and one.is_sure]
    limit = max(sure, default=0.0) or 1.0
    colours = import_module("matplotlib").colormaps[_COLOURS]
    for y, row in enumerate(cells):
        for x, one in enumerate(row):
            if one is None:
                continue
            red, green, blue, _ = colours(0.5 + 0.5 * one.value / limit) if one.is_sure else (1.0, 1.0, 1.0, 1.0)
            fill = {"facecolor": (red, green, blue)} if one.is_sure else {"facecolor": _SAME, "hatch": "////"}
            axes.bar(x + 0.5, 1.0, 1.0, y, edgecolor="#e3e6e8", linewidth=0.4, **fill)
            dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5
            # A box behind the letters, so that hatching does not cross them.
            box = None if one.is_sure else {"facecolor": _SAME, "edgecolor": "none", "pad": 0.8}
            axes.text(
                x + 0.5,
                y + 0.5,
                one.text,
                ha="center",
                va="center",
                fontsize=6.5,
                color="#ffffff" if dark else "#1d2226",
                bbox=box,
            )
    is_tight = sum(map(len, columns)) > _CHARACTERS_WIDE
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_tight else {}
    axes.set_xticks([at + 0.5 for at in range(len(columns))], list(map(plain_name, columns)), **turned)
    axes.set_yticks([at + 0.5 for at in range(len(rows))], list(map(plain_name, rows)))
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_xlabel(x_label)
    told = tuple(
        (y_name, x_name, None if one is None else one.value, None if one is None else "yes" if one.is_sure else "no")
        for y_name, row in zip(rows, cells, strict=True)
        for x_name, one in zip(columns, row, strict=True)
    )
    return Drawing(svg_of(figure), ("", x_label, unit, "told apart from 0"), told)
