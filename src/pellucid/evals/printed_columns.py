"""A report's table measured again: its columns from our tasks, and the average that the report prints of them, with its error."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pellucid.core.scores import lower_is_better, unit_of
from pellucid.core.seeds import derive_seed
from pellucid.evals.paired import Items, Stratum, column_of, compare_items, compare_strata, mean_of_strata
from pellucid.plan.printed_scores import PrintedColumn, PrintedTable

__all__ = ["Scored", "compare_columns"]


class Part(NamedTuple):
    """One task of a column: items, metric, weight in the average, and the metric as the result has it."""

    items: Items
    metric: str
    weight: float
    cell: Mapping[str, Any] | None


class Scored(NamedTuple):
    """What a model has: records by suite, task and item, and the tables of results by suite and task."""

    records: Mapping[str, Mapping[str, Items]]
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]]


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
    suite = column.suite or printed.suite
    tasks, tables = scored.records.get(suite, {}), scored.tables.get(suite, {})
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
        table = tables[task] if column.part is None else tables[task]["groups"][column.part]
        found.append(Part(items, metric, 1 / len(column.tasks), table["metrics"].get(metric)))
    return found


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
    if len(mine) == 1 and mine[0].metric == theirs[0].metric:
        return compare_items(mine[0].items, theirs[0].items, mine[0].metric, seed)
    return compare_strata([part[:3] for part in mine], [part[:3] for part in theirs], seed)


def _value(parts: Sequence[Part], seed: int) -> dict[str, Any] | None:
    if len(parts) == 1 and parts[0].cell is not None:
        return dict(parts[0].cell)
    strata = []
    for part in parts:
        found = [value for _, record in sorted(part.items.items()) if (value := column_of(record, part.metric)) is not None]
        if not found or not sum(bottom for _, bottom in found):
            return None
        top_N, bottom_N = np.array(found, dtype=np.float64).T
        strata.append(Stratum(top_N, bottom_N, part.weight))
    return mean_of_strata(strata, seed)
