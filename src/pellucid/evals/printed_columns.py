"""A report's table measured again: its columns from our tasks, and the average that the report prints of them, with its error."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pellucid.core.scores import lower_is_better, unit_of
from pellucid.core.seeds import derive_seed
from pellucid.evals.paired import (
    Items,
    Stratum,
    are_independent,
    compare_items,
    compare_strata,
    mean_of_strata,
    not_compared,
    strata_of,
)
from pellucid.evals.stored import why_unlike
from pellucid.plan.printed_scores import PrintedColumn, PrintedTable

__all__ = ["Scored", "compare_columns"]


class Part(NamedTuple):
    """One task of a column: items, metric, weight in the average, the metric as the result has it, and whose task it is."""

    items: Items
    metric: str
    weight: float
    cell: Mapping[str, Any] | None
    task: str
    raw: Mapping[str, Any]


class Scored(NamedTuple):
    """What a model has: records by suite, task and item, and the results by suite."""

    records: Mapping[str, Mapping[str, Items]]
    results: Mapping[str, Mapping[str, Any]]


def compare_columns(printed: PrintedTable, models: Sequence[Scored], seed: int, baseline: int) -> list[dict[str, Any]]:
    """Return a row for each column of the report's table that some model has, and one for their average where all are there.

    A row has `values` by model (None with `missing` tasks named where a task lacks) and `tests` against `models[baseline]`.
    """
    rows = []
    parts: list[list[list[Part] | None]] = []
    for column in printed.columns:
        mine = [_parts(column, printed, scored) for scored in models]
        parts.append(mine)
        if any(part is not None for part in mine):
            rows.append(_row(column.name, column.shots, mine, derive_seed(seed, column.name), baseline))
    if printed.average is not None and len(printed.columns) > 1:
        whole = [_join([column[number] for column in parts]) for number in range(len(models))]
        row = _row(printed.average, None, whole, derive_seed(seed, "average"), baseline)
        row["average"] = True
        row["missing"] = [
            [column.name for column, mine in zip(printed.columns, parts, strict=True) if mine[number] is None]
            for number in range(len(models))
        ]
        rows.append(row)
    return rows


def _parts(column: PrintedColumn, printed: PrintedTable, scored: Scored) -> list[Part] | None:
    """Return the tasks of a column with equal weights; None where one of them lacks."""
    suite = _suite_of(column, printed, scored)
    if suite is None:
        return None
    tasks, raw = scored.records[suite], scored.results[suite]
    found: list[Part] = []
    for task in column.tasks:
        items = tasks.get(task, {})
        if column.part is not None:
            items = {item: record for item, record in items.items() if record.group == column.part}
        if not items:
            return None
        metric = column.metric_of(name for record in items.values() for name in (*record.scores, *record.ratios))
        if metric is None:
            return None
        table = raw["tasks"].get(task, {})
        if column.part is not None:
            table = table.get("groups", {}).get(column.part, {})
        found.append(Part(items, metric, 1 / len(column.tasks), table.get("metrics", {}).get(metric), task, raw))
    return found


def _suite_of(column: PrintedColumn, printed: PrintedTable, scored: Scored) -> str | None:
    """Return the table's own suite where it has all of the column's tasks, else the other one where it was asked the same way."""
    for suite in (printed.suite, column.suite):
        if suite is None or any(task not in scored.records.get(suite, {}) for task in column.tasks):
            continue
        if suite == printed.suite or _asked_so(column, scored.results[suite]):
            return suite
    return None


def _asked_so(column: PrintedColumn, raw: Mapping[str, Any]) -> bool:
    settings = dict(raw.get("settings") or {})
    if settings.get("style") == "auto":
        # Which style it came to is in the facts.
        told = (raw.get("facts") or {}).get("tasks") or {}
        styles = {style for task in column.tasks for style in (told.get(task) or {}).get("styles", {})}
        settings["style"] = styles.pop() if len(styles) == 1 else None
    return all(settings.get(name) == value for name, value in column.settings.items())


def _join(columns: Sequence[list[Part] | None]) -> list[Part] | None:
    """Return the parts of the mean over all columns; None where one lacks."""
    joined: list[Part] = []
    for column in columns:
        if column is None:
            return None
        joined += [part._replace(weight=part.weight / len(columns)) for part in column]
    return joined


def _row(name: str, shots: int | None, models: Sequence[list[Part] | None], seed: int, baseline: int) -> dict[str, Any]:
    values = [None if parts is None else _value(parts, seed) for parts in models]
    against = models[baseline]
    tests = [
        None if number == baseline or parts is None or against is None else _test(parts, against, derive_seed(seed, number))
        for number, parts in enumerate(models)
    ]
    metrics = list(dict.fromkeys(part.metric for parts in models if parts for part in parts))
    return {
        "column": name,
        "shots": shots,
        "average": False,
        "metric": " / ".join(metrics),
        "unit": unit_of(metrics[0] if metrics else "", [value["value"] for value in values if value]),
        "lower_is_better": any(map(lower_is_better, metrics)),
        "values": values,
        "tests": tests,
    }


def _test(mine: Sequence[Part], theirs: Sequence[Part], seed: int) -> dict[str, Any]:
    for one, two in zip(mine, theirs, strict=True):
        if (why := why_unlike(one.raw["suite"], one.task, one.raw, two.raw)) is not None:
            return not_compared(why)
    if len(mine) == 1 and mine[0].metric == theirs[0].metric:
        return compare_items(mine[0].items, theirs[0].items, mine[0].metric, seed)
    return compare_strata([part[:3] for part in mine], [part[:3] for part in theirs], seed)


def _value(parts: Sequence[Part], seed: int) -> dict[str, Any] | None:
    if len(parts) == 1 and parts[0].cell is not None and are_independent(parts[0].items):
        return dict(parts[0].cell)
    strata: list[Stratum] = []
    for part in parts:
        found = strata_of(part.items, part.metric, part.weight)
        if not found:
            return None
        strata += found
    return mean_of_strata(strata, seed)
