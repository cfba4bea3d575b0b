"""The figures of a stage as they are now: what the terminal and the page say beside the curves."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

from pellucid.core.excerpt import one_line
from pellucid.watch.curves import Curve, smoothed
from pellucid.watch.records import PHASES, number
from pellucid.watch.run import StageState
from pellucid.watch.stage import StageWatch

__all__ = ["Present", "SourceNow", "last_scores", "present", "sample_lines"]

_NEWEST_STEPS = 50


@dataclass(frozen=True)
class SourceNow:
    """One source: its mean loss over the newest tenth of the curve, and how that differs from the tenth before."""

    name: str
    loss: float
    change: float
    curve: Curve


@dataclass(frozen=True)
class Present:
    """What is so now. Numbers are NaN where nothing is known; `seconds` are of a step, by phase, over the newest 50 steps."""

    state: StageState
    loss: float
    smoothed_loss: float
    lowest: tuple[float, int] | None
    grad_norm: float
    lr: float
    tokens: float
    tokens_per_s: float
    mfu: float
    memory_bytes: float
    seconds: dict[str, float]
    sources: tuple[SourceNow, ...]
    figures: dict[str, float]
    spikes: int
    last_spike: int | None
    skipped: int
    last_skipped: tuple[int, str] | None
    stragglers: int
    notes: tuple[str, ...]
    scores: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values: null for what is not known, sources by name, the highest loss first."""
        plain = {
            name: getattr(self, name)
            for name in ("loss", "smoothed_loss", "grad_norm", "lr", "tokens", "tokens_per_s", "mfu", "memory_bytes")
        }
        stage = self.state
        return {
            "stage": stage.name,
            "state": stage.kind,
            "step": stage.step,
            "steps": stage.steps,
            "left_s": stage.left_s,
            "quiet_s": round(stage.quiet_s, 1),
            **{name: None if math.isnan(value) else value for name, value in plain.items()},
            "lowest_loss": None if self.lowest is None else {"loss": self.lowest[0], "step": self.lowest[1]},
            "seconds": self.seconds,
            "figures": self.figures,
            "sources": [{"name": one.name, "loss": one.loss, "change": _or_none(one.change)} for one in self.sources],
            "spikes": self.spikes,
            "last_spike": self.last_spike,
            "skipped": self.skipped,
            "last_skipped": None if self.last_skipped is None else {"step": self.last_skipped[0], "reason": self.last_skipped[1]},
            "stragglers": self.stragglers,
            "notes": list(self.notes),
            "scores": list(self.scores),
        }


def present(stage: StageWatch, state: StageState) -> Present:
    """Work out what is so now. Speeds and times are medians or means over the newest steps, the rest is of the last one."""
    account = stage.account
    newest = list(account.recent)[-_NEWEST_STEPS:]
    last = account.last
    loss = account.curves.curve("loss")
    smooth = smoothed(loss)
    figures = last.get("figures")
    return Present(
        state=state,
        loss=number(last.get("loss")),
        smoothed_loss=float(smooth[-1]) if len(smooth) else math.nan,
        lowest=account.lowest,
        grad_norm=number(last.get("grad_norm")),
        lr=number(last.get("lr")),
        tokens=number(last.get("tokens")),
        tokens_per_s=_median([number(one.get("tokens_per_s")) for one in newest]),
        mfu=_median([number(one.get("mfu")) for one in newest]),
        memory_bytes=number(last.get("memory_bytes")),
        seconds=_seconds(newest),
        sources=_sources(stage),
        figures={str(name): number(value) for name, value in figures.items() if not math.isnan(number(value))}
        if isinstance(figures, dict)
        else {},
        spikes=account.spikes.count,
        last_spike=account.spikes.found[-1][0] if account.spikes.found else None,
        skipped=account.skipped_count,
        last_skipped=account.skipped[-1] if account.skipped else None,
        stragglers=sum(event["event"] == "straggler" for event in account.events),
        notes=_notes(stage),
        scores=last_scores(stage),
    )


def last_scores(stage: StageWatch) -> tuple[str, ...]:
    """Return the newest scores in words: held-out loss, and the first metric of each task of the curves."""
    found = []
    if stage.heldout:
        line = stage.heldout[-1]
        found.append(f"held-out loss {number(line.get('loss')):.3f} at {line['step']}")
        if len(stage.heldout) > 1:
            found[-1] += f" (first {number(stage.heldout[0].get('loss')):.3f})"
    if stage.evaluations:
        line = stage.evaluations[-1]
        for task, metrics in line["tasks"].items():
            known = [(name, value) for name, value in metrics.items() if not math.isnan(value)]
            if known:
                found.append(f"{one_line(task, 24)} {one_line(known[0][0], 16)} {known[0][1]:.3f} at {line['step']}")
    return tuple(found)


def sample_lines(stage: StageWatch, chars: int, most: int = 12) -> list[tuple[int, str, str]]:
    """Return step, prompt and text of the newest samples, newest first, each on one line and fit to be shown."""
    found = []
    for record in list(stage.samples)[::-1][:most]:
        prompt, text = record.get("prompt"), record.get("text")
        if isinstance(prompt, str) and isinstance(text, str):
            found.append((record["step"], one_line(prompt, chars), one_line(text, chars)))
    return found


def _notes(stage: StageWatch) -> tuple[str, ...]:
    account, notes = stage.account, []
    if not stage.is_whole:
        notes.append(f"reading the whole file: {100 * stage.read_share:.0f} %; until then every so many lines")
    if account.resumes:
        times = f", {len(account.resumes)} times" if len(account.resumes) > 1 else ""
        notes.append(f"continued after step {account.resumes[-1]}{times}")
    for event in list(account.events)[::-1]:
        if event["event"] in ("straggler", "ranks") and isinstance(event.get("message"), str):
            notes.append(f"step {event['step']}: {one_line(event['message'], 160)}")
            break
    if account.curves.is_full:
        notes.append(f"more than {len(account.curves.names)} sources and figures: the others are not shown")
    if account.damaged:
        notes.append(f"{account.damaged} damaged lines passed over")
    return tuple(notes)


def _sources(stage: StageWatch) -> tuple[SourceNow, ...]:
    curves = stage.account.curves
    found = []
    for name in curves.names:
        if name.startswith("source/"):
            curve = curves.curve(name)
            if len(curve):
                tenth = max(1, len(curve) // 10)
                now, before = curve.mean_K[-tenth:], curve.mean_K[-2 * tenth : -tenth]
                change = float(now.mean() - before.mean()) if len(before) else math.nan
                found.append(SourceNow(name.removeprefix("source/"), float(now.mean()), change, curve))
    return tuple(sorted(found, key=lambda one: (-one.loss, one.name)))


def _seconds(newest: list[dict[str, Any]]) -> dict[str, float]:
    split: dict[str, list[float]] = {}
    for record in newest:
        seconds = record.get("seconds")
        if isinstance(seconds, dict) and record["step"] > 1:
            for phase in PHASES:
                value = number(seconds.get(phase))
                if not math.isnan(value):
                    split.setdefault(phase, []).append(value)
    return {phase: statistics.fmean(values) for phase, values in split.items()}


def _median(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
