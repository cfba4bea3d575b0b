"""Figures as SVG text with the numbers behind them: the same numbers give the same bytes, and the letters stay text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from pellucid.report.blocks import Drawing
from pellucid.report.canvas import COLOURS, WIDTH, canvas, plain_name, svg_of

__all__ = ["HeatMap", "Spread", "bars", "curves", "dots", "heat_map", "stacked_share"]

Spread = tuple[float, float | None, float | None]
"""A value with the ends of its interval, None where there is no interval."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Of dots: the next one where the colours begin again."""
_LINES = ("-", "--", "-.", ":")
_FEW_LINES = 4  # that leave room for their names among them
_FEW_CELLS = 60  # of a heat map that have room for their value
_CHARACTERS_WIDE = 56  # of names that stand beside each other under one map
_NAMED = 9  # rows or columns of a heat map that have room for their name


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    *,
    faint: Sequence[str] = (),
    bands: Mapping[str, Sequence[tuple[float, float]]] = MappingProxyType({}),
) -> Drawing:
    """Draw one line per name over a common x; those in `faint` lie behind, thin (raw values under their mean).

    `bands` are (low, high) at each point of a line, shaded in its colour. A line of one point is a dot, its band a bar.
    """
    figure, axes = canvas(WIDTH, 2.7)
    number = 0
    for name, (x, y) in lines.items():
        if name in faint:
            axes.plot(x, y, color="#b9c4cc", linewidth=0.7, label=plain_name(name), zorder=1)
        else:
            colour, style = COLOURS[number % len(COLOURS)], _LINES[number // len(COLOURS) % len(_LINES)]
            number += 1
            dot = "o" if len(x) == 1 else None
            axes.plot(
                x, y, color=colour, linestyle=style, linewidth=1.6, marker=dot, markersize=5, label=plain_name(name), zorder=2
            )
            if name in bands:
                low, high = zip(*bands[name], strict=True)
                if dot:
                    axes.plot([*x, *x], [*low, *high], color=colour, linewidth=1.4, alpha=0.55, zorder=2)
                else:
                    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0, zorder=1)
    axes.set_xlabel(plain_name(x_label))
    axes.set_ylabel(plain_name(y_label))
    axes.margins(x=0.01)
    if len(lines) > _FEW_LINES:
        figure.legend(loc="outside right upper", fontsize=7)
    elif len(lines) > 1:
        axes.legend()
    return Drawing(svg_of(figure), *_points(lines, x_label, bands))


def _points(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, bands: Mapping[str, Sequence[tuple[float, float]]]
) -> tuple[tuple[str, ...], tuple[tuple[str | float | None, ...], ...]]:
    """Return the points of lines as columns and rows: one row for each x; a line without a value there leaves a gap."""
    columns: list[str] = [x_label]
    found: dict[float, list[float | None]] = {x: [] for xs, _ in lines.values() for x in xs}
    for name, (xs, ys) in lines.items():
        ends = [*zip(*bands[name], strict=True)] if name in bands else []
        columns += [name, *(f"{name}, {end}" for end in ("low", "high")[: len(ends)])]
        for values in (ys, *ends):
            at = dict(zip(xs, values, strict=True))
            for x, row in found.items():
                row.append(at.get(x))
    return tuple(columns), tuple((x, *found[x]) for x in sorted(found))


def bars(names: Sequence[str], series: Mapping[str, Sequence[float | None]], y_label: str) -> Drawing:
    """Draw grouped bars: one group per name, one colour per series; a missing value leaves a gap."""
    figure, axes = canvas(WIDTH, 2.7)
    width = 0.8 / len(series)
    for index, (label, values) in enumerate(series.items()):
        places = [n + (index - (len(series) - 1) / 2) * width for n in range(len(names))]
        heights = [0.0 if value is None else value for value in values]
        drawn = axes.bar(places, heights, width * 0.92, color=COLOURS[index % len(COLOURS)], label=plain_name(label))
        texts = ["" if value is None else f"{value:.2f}" for value in values]
        axes.bar_label(drawn, texts, fontsize=6, padding=1, color="#33383d")
    axes.set_xticks(range(len(names)), list(map(plain_name, names)))
    axes.set_ylabel(plain_name(y_label))
    axes.grid(axis="x", visible=False)
    axes.margins(y=0.14)
    axes.legend(ncols=min(len(series), 4), loc="upper right")
    return Drawing(svg_of(figure), ("", *series), tuple(zip(names, *series.values(), strict=True)))


def dots(names: Sequence[str], series: Mapping[str, Sequence[Spread | None]], x_label: str) -> Drawing:
    """Draw a dot with its interval for each name (from top to bottom) and series, side by side; None leaves a gap."""
    figure, axes = canvas(WIDTH, 0.5 + len(names) * (0.16 * len(series) + 0.16) + 0.24)
    step = 0.7 / len(series)
    for index, (label, values) in enumerate(series.items()):
        known = [(row, value) for row, value in enumerate(values) if value is not None]
        places = [row + (index - (len(series) - 1) / 2) * step for row, _ in known]
        middles = [value for _, (value, _, _) in known]
        colour, marker = COLOURS[index % len(COLOURS)], _MARKERS[index // len(COLOURS) % len(_MARKERS)]
        for place, (_, (_, low, high)) in zip(places, known, strict=True):
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=colour, linewidth=1.4, solid_capstyle="round", alpha=0.55, zorder=2)
        axes.plot(middles, places, linestyle="none", marker=marker, markersize=5, color=colour, label=plain_name(label), zorder=3)
    axes.set_yticks(range(len(names)), list(map(plain_name, names)))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(plain_name(x_label))
    axes.grid(axis="y", visible=False)
    for between in range(1, len(names)):
        axes.axhline(between - 0.5, color="#e3e6e8", linewidth=0.6, zorder=0)
    if len(series) > 1:
        figure.legend(loc="outside upper left", ncols=2)
    columns = ("", *(f"{label}{end}" for label in series for end in ("", ", low", ", high")))
    spreads = zip(*series.values(), strict=True)
    rows = tuple((name, *(end for one in row for end in one or (None,) * 3)) for name, row in zip(names, spreads, strict=True))
    return Drawing(svg_of(figure), columns, rows)


def stacked_share(shares: Mapping[str, float]) -> Drawing:
    """Draw shares of a whole as horizontal bars, largest first, in percent."""
    figure, axes = canvas(WIDTH, 0.34 * len(shares) + 0.5)
    ordered = sorted(shares.items(), key=lambda item: item[1])
    names, percent = [plain_name(name) for name, _ in ordered], [100 * share for _, share in ordered]
    drawn = axes.barh(names, percent, color=COLOURS[0], height=0.7)
    axes.bar_label(drawn, [f"{100 * share:.1f} %" for _, share in ordered], fontsize=8, padding=3, color="#33383d")
    axes.set_xlabel("share of trained tokens, %")
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1)
    return Drawing(svg_of(figure), ("", "share"), tuple(reversed(ordered)))


@dataclass(frozen=True)
class HeatMap:
    """One panel: values by row and column, None where there is none, and the least and the greatest value that colours stand for.

    `colours` is a sequential map of matplotlib whose lightness alone tells the values: cividis, or greys from white.
    """

    title: str
    values: Sequence[Sequence[float | None]]
    limits: tuple[float, float]
    colours: Literal["cividis", "Greys"] = "cividis"


def heat_map(maps: Sequence[HeatMap], x_names: Sequence[str], y_names: Sequence[str], x_label: str, y_label: str) -> Drawing:
    """Draw maps of the same rows and columns side by side, the first row on top, each with its scale.

    Few cells have their value written in them; of many rows or columns only some are named. A cell without a value is hatched.
    """
    figure, _ = canvas(WIDTH, 1.4 + 0.24 * min(len(y_names), 12))
    figure.clear()
    panels = figure.subplots(1, len(maps), squeeze=False, sharey=True)[0]
    x_named, y_named = _some(len(x_names)), _some(len(y_names))
    is_tight = sum(len(x_names[at]) for at in x_named) > _CHARACTERS_WIDE / len(maps)
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_tight else {}
    for panel, one in zip(panels, maps, strict=True):
        _draw_map(figure, panel, one)
        panel.set_xticks([at + 0.5 for at in x_named], [plain_name(x_names[at]) for at in x_named], **turned)
        panel.set_yticks([at + 0.5 for at in y_named], [plain_name(y_names[at]) for at in y_named])
        panel.tick_params(length=0)
        panel.grid(visible=False)
        panel.set_xlabel(x_label)
    panels[0].set_ylabel(y_label)
    panels[0].invert_yaxis()
    rows = tuple(
        (one.title, y_name, x_name, value)
        for one in maps
        for y_name, row in zip(y_names, one.values, strict=True)
        for x_name, value in zip(x_names, row, strict=True)
    )
    return Drawing(svg_of(figure), ("", y_label, x_label, "value"), rows)


def _draw_map(figure: Any, panel: Any, one: HeatMap) -> None:
    """Draw the cells of one panel, its title and its scale."""
    low, high = one.limits
    # A patch of its own: those of the axes become invisible with the figure's background.
    panel.axhspan(0, len(one.values), facecolor="#f2f5f7", edgecolor="#b9c4cc", hatch="////", linewidth=0, zorder=0)
    known = [[float("nan") if value is None else value for value in row] for row in one.values]
    colours = import_module("matplotlib").colormaps[one.colours].resampled(64)
    mesh = panel.pcolormesh(known, cmap=colours, vmin=low, vmax=high, edgecolors="#e3e6e8", linewidth=0.4)
    if sum(map(len, one.values)) <= _FEW_CELLS:
        _write_values(panel, mesh, one)
    bar = figure.colorbar(mesh, ax=panel, ticks=[low + step * (high - low) / 4 for step in range(5)], format="%.3g", fraction=0.06)
    bar.solids.set(rasterized=False, edgecolor="face", linewidth=0.4)  # no image in the figure, and no seams between colours
    bar.outline.set_visible(False)
    panel.set_title(one.title, fontsize=9, color="#33383d")


def _write_values(panel: Any, mesh: Any, one: HeatMap) -> None:
    for y, row in enumerate(one.values):
        for x, value in enumerate(row):
            if value is not None:
                red, green, blue, _ = mesh.to_rgba(value)
                dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5
                text = f"{value:.2f}".rstrip("0").rstrip(".")
                panel.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=7, color="#ffffff" if dark else "#1d2226")


def _some(count: int) -> list[int]:
    """Return at most nine places, evenly from the first to the last."""
    steps = min(count, _NAMED) - 1
    return [round(step * (count - 1) / steps) for step in range(steps + 1)] if steps else [0]
