"""Curves drawn with Braille characters: two by four dots a cell, the band of lows and highs behind, the smoothed line before it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from pellucid.watch.curves import Curve, smoothed

__all__ = ["Drawn", "Marker", "bar", "draw", "short", "sparkline"]

Array = NDArray[Any]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLOCKS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_AXIS = "grey50"
# Sums and differences of so large values are numbers still; a loss that has left this range is drawn at its edge.
_LARGEST = 1e300


@dataclass(frozen=True)
class Drawn:
    """One curve to draw: its colour, and whether the band of lows and highs is drawn behind the smoothed line."""

    curve: Curve
    style: str = "cyan"
    band: str = ""


@dataclass(frozen=True)
class Marker:
    """A sign on the x axis."""

    x: float
    sign: str
    style: str


def draw(
    drawn: Sequence[Drawn],
    width: int,
    height: int,
    *,
    last_x: float | None = None,
    log: bool = False,
    markers: Iterable[Marker] = (),
) -> list[Text]:
    """Return `height` lines of `width` columns: values on the left, the curves, below them an axis with markers, and its values.

    x begins where the curves begin and ends at `last_x`, or where they end. `log` draws logarithms where all values are above 0.
    """
    drawn = [replace(one, curve=_bounded(one.curve)) for one in drawn if len(one.curve)]
    rows, label = height - 2, 7
    columns = width - label - 1
    if not drawn or rows < 1 or columns < 4:
        text = "nothing to draw yet" if not drawn else ""
        return [Text(text.center(width)[:width] if row == height // 2 else " " * width, "dim") for row in range(height)]
    low, high = _range(drawn)
    log = log and low > 0
    first = min(float(one.curve.x_K[0]) for one in drawn)
    last = max(last_x or 0.0, max(float(one.curve.x_K[-1]) for one in drawn))
    frame = _Frame(columns, rows, first, max(last, first + 1e-9), _scaled(low, log), _scaled(high, log), log)
    layers = [(frame.band(one.curve), one.band) for one in drawn if one.band]
    layers += [(frame.line(one.curve.x_K, smoothed(one.curve)), one.style) for one in drawn]
    lines = _cells(layers, columns, rows)
    labelled = [_label(row, rows, frame, label) + line for row, line in enumerate(lines)]
    return [*labelled, _axis(frame, label, markers), _axis_values(frame, label, width)]


def sparkline(values_K: Array, width: int) -> str:
    """Return K values as blocks, at most one a column: each the mean of its share. Blanks where there are none yet."""
    known_K = np.clip(values_K[~np.isnan(values_K)], -_LARGEST, _LARGEST)
    if not len(known_K) or width < 1:
        return " " * width
    edges = np.linspace(0, len(known_K), min(width, len(known_K)) + 1).astype(int)
    means = np.add.reduceat(known_K, edges[:-1]) / np.diff(edges)
    low, high = float(means.min()), float(means.max())
    shares = (means - low) / (high - low) if high > low else np.zeros(len(means))
    return "".join(_BLOCKS[place] for place in np.rint(shares * (len(_BLOCKS) - 1)).astype(int).tolist()).rjust(width)


def bar(share: float, width: int) -> str:
    """Return a bar of eighths of a column, `width` columns for a share of 1."""
    eighths = round(8 * width * min(1.0, max(0.0, share)))
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def short(value: float, digits: int = 3) -> str:
    """Return a number in about six columns: 4.321, 0.0123, 7.1e-06, 10.8k, 1.2M, 1e+15; nothing known: –."""
    if math.isnan(value):
        return "–"
    size = abs(value)
    if size >= 1e15:
        return f"{value:.0e}"
    for scale, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= scale:
            return f"{value / (1e3 if suffix == 'k' else scale):.{digits}g}{suffix}"
    if size and size < 1e-3:
        return f"{value:.1e}"
    return f"{value:.0f}" if size >= 1000 else f"{value:.{digits + 1 if size >= 1 else digits}g}"


@dataclass(frozen=True)
class _Frame:
    columns: int
    rows: int
    first: float
    last: float
    low: float
    high: float
    log: bool

    def column(self, x_K: Array) -> Array:
        share_K = (x_K - self.first) / (self.last - self.first)
        column_K: Array = np.clip((share_K * (2 * self.columns - 1)).astype(int), 0, 2 * self.columns - 1)
        return column_K

    def row(self, y_K: Array) -> Array:
        if self.log:
            y_K = np.log(np.maximum(y_K, 1e-300))
        span = self.high - self.low or 1.0
        share_K = (y_K - self.low) / span
        row_K: Array = np.clip(np.rint((1 - share_K) * (4 * self.rows - 1)).astype(int), 0, 4 * self.rows - 1)
        return row_K

    def line(self, x_K: Array, y_K: Array) -> Array:
        """Dots (4·rows, 2·columns) of a line through the points, without gaps."""
        column_K, row_K = self.column(x_K), self.row(y_K)
        dots = np.zeros((4 * self.rows, 2 * self.columns), dtype=bool)
        where, first = np.unique(column_K, return_index=True)
        rows = np.add.reduceat(row_K, first) / np.diff(np.append(first, len(row_K)))
        every = np.arange(where[0], where[-1] + 1)
        path = np.rint(np.interp(every, where, rows)).astype(int)
        for index, column in enumerate(every.tolist()):
            before = path[max(0, index - 1)]
            # Up to half of the way from the column before: steep parts stay one line.
            a, b = sorted((int(path[index]), int((path[index] + before) // 2)))
            dots[a : b + 1, column] = True
        return dots

    def band(self, curve: Curve) -> Array:
        """Dots between the lowest and the highest value of each column; a single spike keeps its column."""
        dots = np.zeros((4 * self.rows, 2 * self.columns), dtype=bool)
        column_K, top_K, bottom_K = self.column(curve.x_K), self.row(curve.high_K), self.row(curve.low_K)
        where, first = np.unique(column_K, return_index=True)
        tops, bottoms = np.minimum.reduceat(top_K, first), np.maximum.reduceat(bottom_K, first)
        for column, top, bottom in zip(where.tolist(), tops.tolist(), bottoms.tolist(), strict=True):
            dots[top : bottom + 1, column] = True
        return dots


def _bounded(curve: Curve) -> Curve:
    return Curve(curve.x_K, *(np.clip(values_K, -_LARGEST, _LARGEST) for values_K in (curve.mean_K, curve.low_K, curve.high_K)))


def _range(drawn: Sequence[Drawn]) -> tuple[float, float]:
    low = min(float(np.min(one.curve.low_K if one.band else one.curve.mean_K)) for one in drawn)
    high = max(float(np.max(one.curve.high_K if one.band else one.curve.mean_K)) for one in drawn)
    return (low, high) if high > low else (low - abs(low) * 0.05 - 1e-12, high + abs(high) * 0.05 + 1e-12)


def _scaled(value: float, log: bool) -> float:
    return math.log(value) if log else value


def _cells(layers: list[tuple[Array, str]], columns: int, rows: int) -> list[Text]:
    """Return a line of text for each row. A cell has the dots and the colour of the last layer that has any there."""
    codes = np.zeros((rows, columns), dtype=int)
    owner = np.full((rows, columns), -1)
    for number, (dots, _) in enumerate(layers):
        cell = np.zeros((rows, columns), dtype=int)
        for y in range(4):
            for x in range(2):
                cell |= np.where(dots[y::4, x::2], _DOTS[y][x], 0)
        codes[cell > 0] = cell[cell > 0]
        owner[cell > 0] = number
    lines = []
    for row in range(rows):
        line = Text()
        changes = [0, *(np.flatnonzero(np.diff(owner[row])) + 1).tolist(), columns]
        for a, b in pairwise(changes):
            if b > a:
                who = int(owner[row, a])
                text = "".join(chr(0x2800 + code) for code in codes[row, a:b].tolist()) if who >= 0 else " " * (b - a)
                line.append(text, layers[who][1] if who >= 0 else "")
        lines.append(line)
    return lines


def _label(row: int, rows: int, frame: _Frame, width: int) -> Text:
    shown = {0: frame.high, rows - 1: frame.low}
    if rows >= 5:
        shown[(rows - 1) // 2] = frame.high + (frame.low - frame.high) * ((rows - 1) // 2) / (rows - 1)
    if row not in shown:
        return Text().append(" " * width + "│", _AXIS)
    value = math.exp(shown[row]) if frame.log else shown[row]
    return Text().append(short(value)[:width].rjust(width) + "┤", _AXIS)


def _axis(frame: _Frame, label: int, markers: Iterable[Marker]) -> Text:
    signs = [("─", _AXIS)] * frame.columns
    for marker in markers:
        if frame.first <= marker.x <= frame.last:
            signs[int(frame.column(np.array([marker.x]))[0]) // 2] = (marker.sign, marker.style)
    line = Text().append(" " * label + "└", _AXIS)
    for sign, style in signs:
        line.append(sign, style)
    return line


def _axis_values(frame: _Frame, label: int, width: int) -> Text:
    out = [" "] * width
    for share in (0.0, 0.25, 0.5, 0.75, 1.0) if frame.columns >= 50 else (0.0, 0.5, 1.0):
        text = short(round(frame.first + share * (frame.last - frame.first)))
        at = label + 1 + round(share * (frame.columns - 1))
        at = min(max(label + 1, at - len(text) // 2 if share else at), width - len(text))
        out[at : at + len(text)] = text
    return Text("".join(out), _AXIS)
