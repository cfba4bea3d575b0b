"""One run on the terminal: a frame of exactly so many lines and columns, made anew from what is known now."""

from collections.abc import Mapping

from rich.text import Text

from pellucid.core.excerpt import one_line
from pellucid.core.units import format_duration
from pellucid.watch.plot import Drawn, Marker, draw, short, sparkline
from pellucid.watch.present import Present, SourceNow, present, sample_lines
from pellucid.watch.records import PHASES
from pellucid.watch.run import RunWatch
from pellucid.watch.stage import StageWatch
from pellucid.watch.view import METRICS, View, beside, fit, headline, part_of, progress_line, rule, shown_value

__all__ = ["KEYS", "LEAST_SIZE", "one_run"]

KEYS = "q leave   ← → stage   m metric   x steps/tokens   z zoom   l log"
LEAST_SIZE = (40, 12)
"""Columns and lines below which only the headline and the progress are shown."""

_PHASE_COLOURS = dict(zip(PHASES, ("gold1", "cyan", "medium_purple1", "grey50"), strict=True))
_WINDOW_WORDS = {1.0: "", 0.5: "last half", 0.1: "last tenth"}


def one_run(run: RunWatch, view: View, width: int, height: int, now: float) -> list[Text]:
    """Return `height` lines of `width` columns: headline, progress, the curve, sources, figures, samples, keys."""
    name = view.stage if view.stage in run.stages else run.current
    states = [run.state(each, now) for each in run.stages]
    lines = [headline(run.name, states, name, width)]
    if name is None or not run.stages[name].has_begun:
        lines += [Text(), *_waiting(run, name)]
        return _filled([fit(line, width) for line in lines], width, height)
    stage = run.stages[name]
    shown = present(stage, run.state(name, now))
    lines.append(progress_line(shown.state, shown.tokens, width))
    if width < LEAST_SIZE[0] or height < LEAST_SIZE[1]:
        return _filled(lines, width, height)
    below = min(max(9, len(shown.sources) + 1), max(9, (height - 4) // 2)) if height >= 20 else 5
    samples = 2 if height >= 22 and width < 150 and stage.samples else 0
    lines += _curve(stage, shown, view, width, height - len(lines) - below - samples - 1)
    lines += _below(stage, shown, width, below)
    if samples:
        lines += _samples_below(stage, width)
    return _filled(lines, width, height)


def _filled(lines: list[Text], width: int, height: int) -> list[Text]:
    lines = lines[: max(0, height - 1)]
    lines += [Text(" " * width)] * (height - 1 - len(lines))
    return [*lines, fit(Text(KEYS, "dim"), width)][:height]


def _waiting(run: RunWatch, name: str | None) -> list[Text]:
    if not run.path.is_dir():
        return [Text(f"waiting for the run to begin: {run.path} is not there yet", "dim")]
    what = f"stage {name}" if name else "a training stage"
    return [Text(f"waiting for {what} to begin: no line of metrics yet", "dim")]


def _curve(stage: StageWatch, shown: Present, view: View, width: int, height: int) -> list[Text]:
    account = stage.account
    curve = part_of(account.curves.curve(view.metric, by_tokens=view.by_tokens), view.window)
    title = Text().append(f" {METRICS[view.metric]} ", "bold")
    if view.metric == "loss":
        title.append(f"{shown.smoothed_loss:.3f}", "bold cyan").append(" smoothed  ", "dim")
        title.append(f"{short(shown.loss)}").append(" last step", "dim")
        if shown.lowest is not None:
            title.append(f"  {shown.lowest[0]:.3f}").append(f" lowest, at {shown.lowest[1]}", "dim")
    else:
        last = float(curve.mean_K[-1]) if len(curve) else float("nan")
        title.append(shown_value(view.metric, last), "bold cyan")
    words = [_WINDOW_WORDS[view.window], "log" if view.log else "", "tokens" if view.by_tokens else "steps"]
    note = Text(", ".join(word for word in words if word) + " ", "dim")
    last_x = _last_x(shown, view) if view.window == 1.0 else None
    markers = [] if view.by_tokens else _markers(stage)
    drawn = draw([Drawn(curve, "bold cyan", "grey42")], width, height - 1, last_x=last_x, log=view.log, markers=markers)
    return [fit(title, width - note.cell_len).append_text(note), *drawn]


def _last_x(shown: Present, view: View) -> float | None:
    if view.by_tokens or not shown.state.steps:
        return None
    # A curve that would stay a few columns wide for hours shows nothing: it has at least two thirds of the room.
    return min(float(shown.state.steps), 1.5 * max(shown.state.step, 1))


def _markers(stage: StageWatch) -> list[Marker]:
    account = stage.account
    marks = [Marker(line["step"], "◆", "green") for line in (*stage.heldout, *stage.evaluations)]
    marks += [Marker(step, "↺", "yellow") for step in account.resumes]
    marks += [Marker(step, "▲", "yellow") for step, _ in account.spikes.found]
    return marks + [Marker(step, "✕", "bold red") for step, _ in account.skipped]


def _below(stage: StageWatch, shown: Present, width: int, height: int) -> list[Text]:
    if width >= 150:
        widths = (width * 3 // 10, width * 3 // 10, width - 2 * (width * 3 // 10) - 4)
        parts = [
            (_sources(shown, widths[0], height), widths[0]),
            (_figures(stage, shown, widths[1], height), widths[1]),
            (_samples(stage, widths[2], height), widths[2]),
        ]
    else:
        left = (width - 2) * 45 // 100
        right = width - 2 - left
        parts = [(_sources(shown, left, height), left), (_figures(stage, shown, right, height), right)]
    return beside(parts, height)


def _sources(shown: Present, width: int, height: int) -> list[Text]:
    """Return the sources with the highest loss first; where not all fit, those in the middle are left out."""
    sources = shown.sources
    lines = [rule("loss by source", width, f"{len(sources)}" if len(sources) > height - 1 else "")]
    rows = height - 1
    if len(sources) <= rows:
        chosen: list[SourceNow | None] = list(sources)
    else:
        last = rows // 3
        chosen = [*sources[: rows - last - 1], None, *sources[len(sources) - last :]]
    room = max(6, min(width - 22, max((len(one.name) for one in sources), default=6)))
    for one in chosen:
        if one is None:
            lines.append(Text(f"  … {len(sources) - len(chosen) + 1} between".ljust(width)[:width], "dim"))
            continue
        trend, style = _trend(one)
        line = fit(Text(one_line(one.name, room)), room).append(f" {one.loss:6.3f} ", "bold").append(trend, style)
        lines.append(
            line.append(" " + sparkline(one.curve.mean_K[len(one.curve) // 2 :], max(0, width - line.cell_len - 2)), "cyan")
        )
    return lines


def _trend(one: SourceNow) -> tuple[str, str]:
    if one.change != one.change or abs(one.change) < 0.002 * max(abs(one.loss), 1e-9):
        return "→", "dim"
    return ("↓", "green") if one.change < 0 else ("↑", "yellow")


def _figures(stage: StageWatch, shown: Present, width: int, height: int) -> list[Text]:
    lines = [rule("now", width)]
    spark = max(0, min(24, width - 24))
    rows = (
        ("tokens/s", "tokens_per_s", shown.tokens_per_s), ("MFU", "mfu", shown.mfu), ("grad norm", "grad_norm", shown.grad_norm),
        ("learning rate", "lr", shown.lr), ("memory", "memory_bytes", shown.memory_bytes),
    )  # fmt: skip
    for label, metric, value in rows:
        if value == value:
            curve = stage.account.curves.curve(metric)
            line = Text().append(f"{label:<13}", "dim").append(f"{shown_value(metric, value):>9} ", "bold")
            lines.append(line.append(sparkline(curve.mean_K, spark), "cyan"))
    lines += _time_split(shown.seconds, width)
    lines.append(_happened(shown))
    lines += [Text().append("◆ ", "green").append(one_line(score, width)) for score in shown.scores]
    lines += [Text().append(f"{one_line(name, 20):<20}", "dim").append(f" {short(value)}") for name, value in shown.figures.items()]
    notes = [Text(f"! {note}", "yellow") for note in shown.notes]
    return [*lines[: max(1, height - len(notes))], *notes][:height]


def _time_split(seconds: Mapping[str, float], width: int) -> list[Text]:
    whole = sum(seconds.values())
    if not whole:
        return []
    columns = max(0, min(24, width - 24))
    took = format_duration(whole) if whole >= 1 else f"{1000 * whole:.0f} ms"
    line = Text().append(f"{'a step':<13}", "dim").append(f"{took:>9} ", "bold")
    used = 0
    words, so_far = Text(), 0.0
    for phase, value in seconds.items():
        so_far += value
        until = round(columns * so_far / whole)
        line.append("█" * (until - used), _PHASE_COLOURS[phase])
        used = until
        words.append("■", _PHASE_COLOURS[phase]).append(f" {_PHASE_WORDS[phase]} {100 * value / whole:.0f} ", "dim")
    return [line, words.append("%", "dim")]


_PHASE_WORDS = {"data": "data", "forward_backward": "fwd+bwd", "optimizer": "optim", "other": "other"}


def _happened(shown: Present) -> Text:
    line = Text().append("▲ ", "yellow" if shown.spikes else "dim").append(f"{shown.spikes} spike{'s' * (shown.spikes != 1)}")
    if shown.last_spike is not None:
        line.append(f" (last {shown.last_spike})", "dim")
    line.append("  ✕ ", "bold red" if shown.skipped else "dim").append(f"{shown.skipped} skipped")
    if shown.last_skipped is not None:
        line.append(f" (last {shown.last_skipped[0]}: {one_line(shown.last_skipped[1], 20)})", "dim")
    if shown.stragglers:
        line.append(f"  {shown.stragglers} stragglers", "yellow")
    return line


def _samples(stage: StageWatch, width: int, height: int) -> list[Text]:
    lines = [rule("newest samples", width)]
    for step, prompt, text in sample_lines(stage, 4 * width):
        whole = Text().append(f"{step} ", "dim").append(prompt, "bold").append(" ").append(text)
        rows = [whole[start : start + width] for start in range(0, min(len(whole), 2 * width), width)]
        lines += rows
    return lines[:height]


def _samples_below(stage: StageWatch, width: int) -> list[Text]:
    newest = sample_lines(stage, 2 * width, most=1)
    if not newest:
        return [rule("newest sample", width), Text(" " * width)]
    step, prompt, text = newest[0]
    return [rule(f"newest sample, step {step}", width), fit(Text().append(prompt, "bold").append(" ").append(text), width)]
