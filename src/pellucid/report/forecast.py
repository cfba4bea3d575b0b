"""Plan against what happened: what was forecast before anything was spent, between which bounds, and what was measured."""

from collections.abc import Callable, Sequence
from typing import Any

from pellucid.core.spending import JOULES_PER_KWH
from pellucid.core.units import format_bytes, format_duration, format_energy, format_rate
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.report.blocks import Block, Section
from pellucid.report.facts import Fact, Facts
from pellucid.report.markup import Cell, paragraph, section, table
from pellucid.report.sections import PLAN, whole

__all__ = ["forecast"]

_COLUMNS = ("", "Low", "Likely", "High", "Measured", "Measured / likely")

Show = Callable[[float], str]


def forecast(facts: Facts, recipe: Recipe) -> Section | None:
    """Return tokens, steps, seconds, memory, hours, energy and money of each training stage: forecast, measured, and their ratio.

    None for a run whose plan has no bounds, as those of earlier versions.
    """
    planned = facts.document(PLAN)["stages"] if facts.has(PLAN) else []
    if not planned or "kwh" not in planned[0]:
        return None
    parts: list[Block] = [
        paragraph(
            "The forecast was made from the recipe before the run began. Its bounds are those of the table of devices: the shares "
            "of peak and bandwidth that training reaches, power, price. Money is measured time at the likely price."
        )
    ]
    for number, stage in enumerate(recipe.train):
        file = f"{stage.name}/metrics.jsonl"
        if facts.has(file):
            rows = [*_counts(facts, number, stage), *_speed(facts, number, stage), _memory(facts, number, stage)]
            rows += _spent(facts, number, stage, recipe)
            parts.append(table(_COLUMNS, rows, caption=f"The stage {stage.name}, on {_device(facts)}."))
    if facts.document(PLAN)["device"]["name"] != "here":
        parts.append(
            paragraph(
                f"The plan is for {_device(facts)}, a row of the table of devices. Where the run was on another machine, its "
                "speed, energy and money say little about the forecast."
            )
        )
    return section("forecast", "Plan against what happened", *parts)


def _device(facts: Facts) -> str:
    device = facts.document(PLAN)["device"]
    return f"{device['count']} × {device['title']}"


def _steps(facts: Facts, stage: TrainStageConfig) -> list[tuple[int, dict[str, Any]]]:
    """Return the records of a stage's steps with their places in the file."""
    records = facts.document(f"{stage.name}/metrics.jsonl")
    return [(place, record) for place, record in enumerate(records) if "loss" in record]


def _row(name: str, bounds: Sequence[Fact | None], measured: Fact | None, ratio: float | None) -> list[Cell]:
    """Return a row; the ratio says whether it lies between the bounds."""
    low, likely, high = bounds
    text = "not measured" if ratio is None else f"{ratio:.2f}"
    if ratio is not None and low is not None and likely is not None and high is not None and likely.value:
        first, last = sorted((low.value, high.value))
        text += ", inside" if first <= ratio * likely.value <= last else ", outside"
    return [name, low, likely, high, measured, text]


def _counts(facts: Facts, number: int, stage: TrainStageConfig) -> list[list[Cell]]:
    file, (last, record) = f"{stage.name}/metrics.jsonl", _steps(facts, stage)[-1]
    rows = []
    for name, key, done in (("tokens", "trained_tokens", "tokens"), ("steps", "steps", "step")):
        planned = facts.get(PLAN, "stages", number, key, show=whole)
        ratio = record[done] / planned.value if planned.value else None
        rows.append(_row(name, (None, planned, None), facts.get(file, last, done, show=whole), ratio))
    return rows


def _speed(facts: Facts, number: int, stage: TrainStageConfig) -> list[list[Cell]]:
    """Return tokens per second and seconds per step of the median step, the first tenth left out."""
    file, steps = f"{stage.name}/metrics.jsonl", _steps(facts, stage)
    tail = sorted(steps[len(steps) // 10 :], key=lambda item: float(item[1]["tokens_per_s"]))
    place, record = tail[len(tail) // 2]
    tokens_per_s, step_tokens = record["tokens_per_s"], record["step_tokens"]

    def seconds(speed: float) -> str:
        return f"{format_rate(step_tokens / speed)} s"

    of_step = _range(facts, number, ("step", "s"), lambda value: f"{format_rate(value)} s")
    # Cases are named by time: the shortest step is the highest speed.
    of_speed = _range(facts, number, ("step", "tokens_per_s"), whole)[::-1]
    return [
        _row(
            "seconds per step",
            of_step,
            facts.get(file, place, "tokens_per_s", show=seconds),
            _over(step_tokens / tokens_per_s, of_step),
        ),
        _row("tokens per second", of_speed, facts.get(file, place, "tokens_per_s", show=whole), _over(tokens_per_s, of_speed)),
    ]


def _range(facts: Facts, number: int, keys: tuple[str, ...], show: Show) -> tuple[Fact, Fact, Fact]:
    low, likely, high = (facts.get(PLAN, "stages", number, *keys, case, show=show) for case in ("low", "likely", "high"))
    return low, likely, high


def _over(measured: float, bounds: Sequence[Fact]) -> float | None:
    return measured / bounds[1].value if bounds[1].value else None


def _memory(facts: Facts, number: int, stage: TrainStageConfig) -> list[Cell]:
    """Return the most memory: of a GPU what torch allocated, of a CPU what the process came to hold in this stage.

    Where the system could not tell the stage's share apart, all that the process has held since it began.
    """
    file, steps = f"{stage.name}/metrics.jsonl", _steps(facts, stage)
    start = facts.document(file)[0]
    before = start.get("memory_before_bytes")
    iswhole = before is None and str(start.get("device", "cpu")).startswith("cpu")
    planned = facts.get(PLAN, "stages", number, "fit", "with_runtime_bytes" if iswhole else "needs_bytes", show=format_bytes)
    place, record = max(steps, key=lambda item: int(item[1]["memory_bytes"]))
    held = before or 0
    measured = facts.get(file, place, "memory_bytes", show=lambda value: format_bytes(value - held))
    name = "memory, the whole process with the stages before" if iswhole else "memory"
    return _row(name, (None, planned, None), measured, (record["memory_bytes"] - held) / planned.value)


def _spent(facts: Facts, number: int, stage: TrainStageConfig, recipe: Recipe) -> list[list[Cell]]:
    """Return wall time, energy and money; energy that was not measured is said to be an estimate."""
    manifest = f"{stage.name}/manifest.json"
    wall = _range(facts, number, ("wall_s",), format_duration)
    kwh = _range(facts, number, ("kwh",), format_energy)
    usd = _range(facts, number, ("usd",), lambda value: f"${format_rate(value)}")
    found = facts.document(manifest) if facts.has(manifest) else {}
    spent = found.get("energy") or {}
    seconds, joules = found.get("seconds"), spent.get("joules")
    how = "" if spent.get("kind", "measured") == "measured" else ", estimated"
    dollars = facts.document(PLAN)["cost"]["usd_per_device_hour"] * facts.document(PLAN)["device"]["count"] / 3600
    took = facts.get(manifest, "seconds", show=format_duration) if seconds else None
    cost = facts.get(manifest, "seconds", show=lambda value: f"${format_rate(value * dollars)}") if seconds else None

    def with_pue(value: float) -> str:
        return format_energy(value / JOULES_PER_KWH * recipe.plan.pue) + how

    energy = facts.get(manifest, "energy", "joules", show=with_pue) if joules else None
    return [
        _row("wall time, checkpoints and samples included", wall, took, _over(seconds, wall) if seconds else None),
        _row("energy", kwh, energy, _over(joules / JOULES_PER_KWH * recipe.plan.pue, kwh) if joules else None),
        _row("money", usd, cost, _over(seconds * dollars, usd) if seconds else None),
    ]
