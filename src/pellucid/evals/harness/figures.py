"""What a report prints of a group: each benchmark's metric, averages of benchmarks, and figures that are no mean of items."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from pellucid.evals.harness.groups import Benchmark, Group
from pellucid.evals.harness.items import RAW
from pellucid.evals.results import Record

__all__ = ["aggregated", "average", "printed"]


def printed(benchmark: Benchmark, records: Iterable[Record]) -> dict[str, Any]:
    """Return the printed metric's name, value and items, and, where the benchmark has parts, each part's mean and both means.

    The value is the mean over parts where `benchmark.over_parts`, otherwise the mean over items.
    A benchmark without a printed metric has its first one: acc_norm, acc or what there is.
    """
    own = [record for record in records if record.task == benchmark.name]
    names = list(dict.fromkeys(name for record in own for name in record.scores))
    metric = benchmark.metric or next((name for name in ("acc_norm", "acc") if name in names), next(iter(names), None))
    values = [(record.group, record.scores[metric]) for record in own if metric is not None and metric in record.scores]
    parts: dict[str, list[float]] = {}
    for group, value in values:
        if group is not None:
            parts.setdefault(group, []).append(value)
    means = {part: fmean(of_part) for part, of_part in sorted(parts.items())}
    over_items = fmean(value for _, value in values) if values else None
    both = {"mean over items": over_items, "mean over parts": fmean(means.values())} if means else {}
    return {
        "metric": metric,
        "value": both["mean over parts"] if benchmark.over_parts and both else over_items,
        "items": len(values),
        "rule": benchmark.rule,
        **({"parts": means, **both} if means else {}),
        **({"note": benchmark.note} if benchmark.note else {}),
    }


def average(group: Group, columns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a table's average over its columns, and over languages where the table is one of languages.

    None where a column or a part of one is missing: an average of fewer is another figure.
    """
    averaged = [benchmark for benchmark in group.benchmarks if benchmark.averaged]
    names = [benchmark.name for benchmark in averaged] + list(group.delegated)
    values = [columns[name]["value"] if name in columns and not columns[name]["parts_missing"] else None for name in names]
    if not group.by_part:
        known = [value for value in values if value is not None]
        return {"average": fmean(known) if len(known) == len(names) else None, "over": names}
    parts = sorted({part for name in names if name in columns for part in columns[name].get("parts", {})})
    means: dict[str, float | None] = {}
    for part in parts:
        of_part = [columns[name].get("parts", {}).get(part) if name in columns else None for name in names]
        known = [value for value in of_part if value is not None]
        means[part] = fmean(known) if len(known) == len(names) else None
    complete = [mean for mean in means.values() if mean is not None]
    wanted = {member.part for benchmark in averaged for member in benchmark.members}
    return {"average": fmean(complete) if len(complete) == len(wanted) else None, "parts": means, "over": names}


def aggregated(tasks: Sequence[Any], records: Iterable[Record]) -> dict[str, float]:
    """Return what the harness' own aggregations make of the raw values that records keep (perplexity, F1 over all items…)."""
    raw: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.details.get(RAW, {}).items():
            raw.setdefault(name, []).append(value)
    functions = {metric: function for task in tasks for metric, function in task.aggregation().items()}
    return {name: float(functions[name.partition(",")[0]](values)) for name, values in sorted(raw.items())}
