"""The section about what a model can do while it learns: curves with bands, how far rankings can be trusted, forecasts."""

from typing import Any

from pellucid.recipe.recipe import Recipe
from pellucid.report.blocks import Block, Figure, Section, Table
from pellucid.report.facts import Fact, Facts
from pellucid.report.figures import curves
from pellucid.report.markup import figure, heading, paragraph, section, table
from pellucid.report.sections import decimals, percent, whole
from pellucid.report.titles import METRICS

__all__ = ["over_training"]

Row = list[Fact | str | None]

_DRAWN = ("acc", "bits_per_byte")


def over_training(facts: Facts, recipe: Recipe) -> Section | None:
    """Capabilities over training of each stage that measured some; empty when none did."""
    parts: list[Block] = []
    for stage in recipe.train:
        if facts.has(f"{stage.name}/curves.json"):
            parts += [heading(stage.name), *_stage(facts, stage.name)]
    if not parts:
        return None
    text = (
        "Small tasks scored before the first step, on the way, and after the last, by the runner that training brings with it. "
        "Bands and intervals are 95 %, by resampling items: what other items would say, not what another run would. Tasks made of "
        "this run's own held-out documents compare checkpoints with each other, not with any published number."
    )
    return section("curves", "Capabilities over training", paragraph(text), *parts)


def _stage(facts: Facts, stage: str) -> list[Block]:
    file = f"{stage}/curves.json"
    found = facts.document(file)
    parts: list[Block] = [_cost(facts, file, found)]
    for name, task in found["tasks"].items():
        parts += [_drawn(file, name, metric, task["metrics"][metric]) for metric in _DRAWN if metric in task["metrics"]]
        parts.append(_ends(facts, file, name, task))
    return [*parts, *_rankings(facts, file, found), _stability(facts, file, found), *_forecasts(facts, file, found)]


def _cost(facts: Facts, file: str, found: dict[str, Any]) -> Table:
    rows: list[Row] = [
        ["seconds", facts.get(file, "seconds", show=decimals(1))],
        ["seconds for the items before, and this summary after", facts.get(file, "seconds_around", show=decimals(1))],
        ["share of the stage's time", facts.get(file, "share_of_training", show=percent)],
    ]
    if found["failed"]:
        rows.append(["scores that were no numbers", str(len(found["failed"]))])
    if found["of_other_items"]:
        rows.append(["scores of other items, left out", facts.get(file, "of_other_items", show=whole)])
    return table(("", "Measured"), rows, caption=f"What measuring {len(found['checkpoints'])} times cost.")


def _drawn(file: str, name: str, metric: str, of_metric: dict[str, Any]) -> Figure:
    points = of_metric["points"]
    x, y = [point["tokens"] / 1e6 for point in points], [point["value"] for point in points]
    # With fewer than two items there is no band.
    band = [(point["low"], point["high"]) for point in points]
    bands = {name: band} if all(low is not None for low, _ in band) else {}
    caption = f"{name}: {METRICS.get(metric, metric)}, with 95 % bands."
    return figure(curves({name: (x, y)}, "tokens, millions", METRICS.get(metric, metric), bands=bands), caption, file)


def _ends(facts: Facts, file: str, name: str, task: dict[str, Any]) -> Table:
    rows: list[Row] = []
    for metric, of_metric in task["metrics"].items():
        at, show = ("tasks", name, "metrics", metric, "points"), percent if metric.startswith("acc") else decimals(3)
        last = len(of_metric["points"]) - 1
        row: Row = [METRICS.get(metric, metric), facts.get(file, *at, 0, "value", show=show)]
        row += [facts.get(file, *at, last, key, show=show) for key in ("value", "low", "high") if _known(of_metric, key)]
        rows.append(row)
    caption = f"{name}: {task['items']} items, before the first step and after the last."
    return table(("Figure", "Before", "After", "95 % from", "to"), rows, caption=caption)


def _known(of_metric: dict[str, Any], key: str) -> bool:
    return of_metric["points"][-1][key] is not None


def _each(found: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(name, metric, one) for name, task in found["tasks"].items() for metric, one in task["metrics"].items()]


def _tau(facts: Facts, file: str, *at: str | int) -> Fact | None:
    fact = facts.get(file, *at, show=lambda value: "–" if value is None else f"{value:z.2f}")
    return None if fact.value is None else fact


def _rankings(facts: Facts, file: str, found: dict[str, Any]) -> list[Block]:
    rows: list[Row] = []
    for name, metric, _ in _each(found):
        at = ("tasks", name, "metrics", metric, "tau")
        row: Row = [f"{name}, {METRICS.get(metric, metric)}"]
        row += [_tau(facts, file, *at, kind, key) for kind, key in (("with_steps", "tau"), ("with_steps", "low"))]
        row += [_tau(facts, file, *at, "split_half", key) for key in ("mean", "low", "high")]
        rows.append(row)
    text = (
        "Kendall's tau of how checkpoints rank. By step: 1 where each checkpoint is better than all before it. By halves: their "
        "ranking on a random half of the items against the other half."
    )
    columns = ("Task and figure", "By step", "at least (95 %)", "By halves", "95 % from", "to")
    return [paragraph(text), table(columns, rows, caption="How far rankings of checkpoints can be trusted.")]


def _stability(facts: Facts, file: str, found: dict[str, Any]) -> Table:
    sizes = sorted({row["items"] for _, _, one in _each(found) for row in one["stability"]})
    rows: list[Row] = []
    for name, metric, one in _each(found):
        places = {row["items"]: at for at, row in enumerate(one["stability"])}
        row: Row = [f"{name}, {METRICS.get(metric, metric)}"]
        for size in sizes:
            at = ("tasks", name, "metrics", metric, "stability", places.get(size, 0), "mean")
            row.append(_tau(facts, file, *at) if size in places else None)
        rows.append(row)
    columns = ("Task and figure", *(f"{size} items" for size in sizes))
    return table(columns, rows, caption="Kendall's tau of the checkpoints' ranking on a sample of the items with that on all.")


def _forecasts(facts: Facts, file: str, found: dict[str, Any]) -> list[Block]:
    rows: list[Row] = []
    for name, metric, one in _each(found):
        if one["forecast"] is None:
            continue
        at, show = ("tasks", name, "metrics", metric, "forecast"), percent if metric.startswith("acc") else decimals(3)
        row: Row = [f"{name}, {METRICS.get(metric, metric)}"]
        row += [facts.get(file, *at, key, show=show) for key in ("now", "value", "low", "high", "came")]
        row.append(facts.get(file, *at, "inside", show=lambda inside: "yes" if inside else "no"))
        stopped = "stop_rule" in one["forecast"]
        row.append(facts.get(file, *at, "stop_rule", "from_step", show=whole) if stopped else None)
        rows.append(row)
    if not rows:
        return []
    text = (
        "A power law with the first half of the points, as if training had been stopped to ask. It does not know that the learning "
        "rate falls at the end, which gains more than the curve shows before. The stop rule speaks when a further gain of "
        "curves.min_gain is less likely than one in twenty."
    )
    columns = ("Task and figure", "Half-way", "Forecast", "95 % from", "to", "Came", "Inside", "Stop rule at step")
    return [paragraph(text), table(columns, rows, caption="The last score, forecast from the first half of training.")]
