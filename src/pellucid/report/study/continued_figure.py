"""The trade-off of continued pretraining as a drawing: what is forgotten against what is learnt, a cross for each way."""

from collections.abc import Mapping

from pellucid.report.blocks import Drawing
from pellucid.report.canvas import COLOURS, WIDTH, canvas, plain_name, svg_of
from pellucid.report.figures import Spread

__all__ = ["tradeoff_drawing"]

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def tradeoff_drawing(ways: Mapping[str, tuple[Spread, Spread]], x_label: str, y_label: str) -> Drawing:
    """Draw a mark with both of its intervals for each name; an end that is None leaves the interval out."""
    figure, axes = canvas(WIDTH, 3.4)
    for number, (name, (x, y)) in enumerate(ways.items()):
        colour, marker = COLOURS[number % len(COLOURS)], _MARKERS[number // len(COLOURS) % len(_MARKERS)]
        (x_mid, x_low, x_high), (y_mid, y_low, y_high) = x, y
        if x_low is not None and x_high is not None:
            axes.plot([x_low, x_high], [y_mid, y_mid], color=colour, linewidth=1.2, alpha=0.55, zorder=2)
        if y_low is not None and y_high is not None:
            axes.plot([x_mid, x_mid], [y_low, y_high], color=colour, linewidth=1.2, alpha=0.55, zorder=2)
        axes.plot([x_mid], [y_mid], linestyle="none", marker=marker, markersize=5.5, color=colour, label=plain_name(name), zorder=3)
    axes.set_xlabel(plain_name(x_label))
    axes.set_ylabel(plain_name(y_label))
    figure.legend(loc="outside right upper", fontsize=7)
    columns = ("", *(f"{label}{end}" for label in (x_label, y_label) for end in ("", ", low", ", high")))
    return Drawing(svg_of(figure), columns, tuple((name, *x, *y) for name, (x, y) in ways.items()))
