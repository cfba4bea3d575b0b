"""What every figure begins and ends with: a canvas in the page's style, names as they are, SVG that has no trace of when."""

import io
import re
from importlib import import_module
from typing import Any

from pellucid.core.errors import MissingExtraError
from pellucid.core.excerpt import visible

__all__ = ["COLOURS", "WIDTH", "canvas", "plain_name", "svg_of"]

# Okabe and Ito's palette: told apart by readers with any colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A6D00", "#999999", "#33383d")
WIDTH = 5.4  # inches: wide enough to be read on paper at its own size and on a phone at two thirds of it
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "pellucid",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8b8f94",
    "axes.labelcolor": "#33383d",
    "xtick.color": "#33383d",
    "ytick.color": "#33383d",
    "text.color": "#33383d",  # of legends, which follow the page's colours as the axes do
    "axes.grid": True,
    "grid.color": "#e3e6e8",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def canvas(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure and its axes, drawn without any window system; raise `MissingExtraError` without matplotlib."""
    try:
        matplotlib = import_module("matplotlib")
        figure_module = import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report", "Drawing the report's figures") from error
    matplotlib.rcParams.update(_STYLE)
    figure = figure_module.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def plain_name(name: str) -> str:
    """Return a name as matplotlib shows it unchanged: no formulas between dollars, and in legends though it begins with "_"."""
    escaped = visible(name).replace("$", r"\$")
    return f"\u200b{escaped}" if escaped.startswith("_") else escaped


def svg_of(figure: Any) -> str:
    """Return a figure as SVG text: the same figure gives the same bytes."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    # The metadata only says who drew it, with links to the outside.
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
