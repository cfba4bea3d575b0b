"""What a reader has chosen to see, and pieces that every picture of the terminal is put together from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from pellucid.core.excerpt import one_line
from pellucid.core.units import format_bytes, format_duration
from pellucid.watch.curves import Curve
from pellucid.watch.plot import bar, short
from pellucid.watch.run import StageState

__all__ = ["COLOURS", "METRICS", "View", "beside", "fit", "headline", "part_of", "progress_line", "rule", "shown_value"]

METRICS = {
    "loss": "loss",
    "grad_norm": "gradient norm",
    "lr": "learning rate",
    "tokens_per_s": "tokens per second",
    "mfu": "MFU",
    "memory_bytes": "memory",
}
"""What the large curve can show, in the order in which a key goes through it."""

COLOURS = ("cyan", "dark_orange", "medium_purple1", "green3", "deep_pink2", "gold1", "dodger_blue1", "grey70")
"""Of runs beside each other, by their place on the command line."""

_WINDOWS = (1.0, 0.5, 0.1)
_STATES = {
    "waiting": ("not begun", "dim"),
    "training": ("training", "green"),
    "ended": ("ended", "cyan"),
    "quiet": ("quiet", "yellow"),
}
_SIGNS = {"waiting": "·", "training": "▶", "ended": "✓", "quiet": "…"}


@dataclass(frozen=True)
class View:
    """Which stage (None: the one at work), which metric, over steps or tokens, on what scale, and how much of the end of it."""

    stage: str | None = None
    metric: str = "loss"
    by_tokens: bool = False
    log: bool = False
    window: float = 1.0

    def pressed(self, key: str, stages: Sequence[str], current: str | None) -> "View":
        """Return the view after a key; keys without a meaning change nothing."""
        if key == "m":
            names = list(METRICS)
            return replace(self, metric=names[(names.index(self.metric) + 1) % len(names)])
        if key == "x":
            return replace(self, by_tokens=not self.by_tokens)
        if key == "l":
            return replace(self, log=not self.log)
        if key == "z":
            return replace(self, window=_WINDOWS[(_WINDOWS.index(self.window) + 1) % len(_WINDOWS)])
        if key in ("left", "right") and stages:
            # The chosen stage may have gone from the recipe meanwhile: then one goes on from the stage at work.
            seen = next((name for name in (self.stage, current) if name in stages), stages[0])
            at = stages.index(seen) + (1 if key == "right" else -1)
            chosen = stages[at % len(stages)]
            return replace(self, stage=None if chosen == current else chosen)
        return self


def fit(text: Text, width: int) -> Text:
    """Return the text on exactly so many columns: padded, or cut with … at its end."""
    if width <= 0:
        return Text()
    text = text.copy()
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def beside(parts: Sequence[tuple[list[Text], int]], height: int, gap: int = 2) -> list[Text]:
    """Put columns of given widths beside each other, each filled up with blanks to `height` lines."""
    lines = []
    for row in range(height):
        line = Text()
        for number, (column, width) in enumerate(parts):
            line.append(" " * gap if number else "")
            line.append_text(fit(column[row] if row < len(column) else Text(), width))
        lines.append(line)
    return lines


def rule(title: str, width: int, note: str = "") -> Text:
    """Return a heading on a thin line, with a note at its right end."""
    note = f" {note} " if note and len(note) + len(title) + 6 <= width else ""
    line = Text().append("─ ", "grey50").append(one_line(title, width), "bold").append(" ")
    line.append("─" * max(0, width - line.cell_len - len(note)), "grey50")
    return fit(line.append(note, "dim"), width)


def headline(name: str, states: Sequence[StageState], chosen: str | None, width: int) -> Text:
    """Return the first line: the run, its stages with a sign each, and how the chosen one stands on the right."""
    line = Text().append(one_line(name, 40), "bold")
    shown = next((state for state in states if state.name == chosen), None)
    for number, state in enumerate(states):
        line.append("  " if number == 0 else " › ", "grey50")
        style = _STATES[state.kind][1]
        line.append(f"{one_line(state.name, 24)} {_SIGNS[state.kind]}", f"bold {style}" if state.name == chosen else style)
    if shown is None:
        return fit(line.append("  not begun", "dim"), width)
    word, style = _STATES[shown.kind]
    if shown.kind == "quiet":
        word = f"no new step for {format_duration(shown.quiet_s)}"
    right = Text(f"● {word}", style)
    return fit(fit(line, max(0, width - right.cell_len - 1)).append(" ").append_text(right), width)


def progress_line(state: StageState, tokens: float, width: int) -> Text:
    """Return the second line: step of how many, a bar, the share, and the time left."""
    line = Text(f"step {state.step:,}".replace(",", " "))
    if state.steps:
        line.append(f" of {state.steps:,}".replace(",", " "), "dim")
    if tokens == tokens:
        line.append(f"  {short(tokens)} tokens", "dim")
    right = Text()
    if state.share is not None:
        right.append(f" {100 * state.share:.0f} %")
    if state.left_s is not None:
        right.append(f"  {format_duration(state.left_s)} left", "bold")
    room = width - line.cell_len - right.cell_len - 2
    if state.share is not None and room >= 8:
        done = bar(state.share, room)
        line.append("  ").append(done.rstrip(" "), "cyan").append("·" * (room - len(done.rstrip(" "))), "grey35")
    return fit(line.append_text(right), width)


def part_of(curve: Curve, window: float) -> Curve:
    """Return the last share of a curve's extent in x."""
    if window >= 1.0 or len(curve) < 2:
        return curve
    first, last = float(curve.x_K[0]), float(curve.x_K[-1])
    return curve.since(last - window * (last - first))


def shown_value(metric: str, value: float) -> str:
    """Return a metric's value with its unit."""
    if value != value:
        return "–"
    if metric == "memory_bytes":
        return format_bytes(value)
    if metric == "mfu":
        return f"{100 * value:.1f} %"
    return short(value)
