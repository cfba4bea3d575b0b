"""Several models' results beside each other: values with their errors, paired tests against one of them, the reports' averages.

What comes out is plain JSON values, which the terminal and the page show. Differences are of each model minus the baseline, on the
items that both have and were shown alike; p-values of one model's tasks in one suite are corrected together (Holm 1979).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.core.scores import lower_is_better, unit_of
from pellucid.core.seeds import derive_seed
from pellucid.evals.disagreements import disagreements
from pellucid.evals.paired import (
    Items,
    are_independent,
    compare_items,
    holm,
    mean_of_strata,
    not_compared,
    strata_of,
    verdict,
)
from pellucid.evals.printed_columns import Scored, compare_columns
from pellucid.evals.stored import StoredResult, why_unlike
from pellucid.plan.printed_scores import table_of

__all__ = ["Model", "compare", "group_models"]

SCHEMA = 1
NOTHING: Items = {}


@dataclass(frozen=True)
class Model:
    """One column of the tables: a model, where its results were given, and they by suite."""

    name: str
    given: str
    results: Mapping[str, StoredResult]


def group_models(given: Mapping[str, Sequence[StoredResult]]) -> list[Model]:
    """Return a model for each thing that was scored under each path; names are told apart by the path where labels are equal.

    Raises `UsageError` where one path has two results of one suite on one model.
    """
    found: dict[tuple[str, tuple[str, ...]], dict[str, StoredResult]] = {}
    for path, results in given.items():
        for result in results:
            mine = found.setdefault((path, result.identity), {})
            if result.suite in mine:
                raise UsageError(
                    f"{path} holds two results of {result.suite} on {result.label}: {mine[result.suite].folder} and "
                    f"{result.folder}; give the folder of one of them"
                )
            mine[result.suite] = result
    labels = [identity[0] for _, identity in found]
    models = []
    for (path, identity), results_by_suite in found.items():
        name = identity[0]
        if labels.count(name) > 1:
            folders = [result.folder for result in results_by_suite.values()]
            alone = len([one for one, other in found if one == path and other[0] == name]) == 1
            name = f"{name} ({path if alone else folders[0]})"
        models.append(Model(name, path, results_by_suite))
    return models


def compare(models: Sequence[Model], seed: int, baseline: int = 0) -> dict[str, Any]:
    """Return the comparison of all models, suite by suite, as JSON values.

    Each suite has `rows`, one for each task and metric, `main` where it is the task's first: `values` by model, `clean` ones where
    contamination was looked up, and `tests` of each model against `models[baseline]`. Suites that measure a report's table again
    have `columns` of the same shape, and their average last.
    """
    suites = list(dict.fromkeys(suite for model in models for suite in model.results))
    return {
        "schema": SCHEMA,
        "seed": seed,
        "baseline": baseline,
        "models": [
            {
                "name": model.name,
                "given": model.given,
                "subject": dict(next(iter(model.results.values())).raw["subject"]),
                "incomplete": [suite for suite, result in model.results.items() if not result.complete],
            }
            for model in models
        ],
        "suites": [_suite(suite, models, seed, baseline) for suite in suites],
    }


def _suite(suite: str, models: Sequence[Model], seed: int, baseline: int) -> dict[str, Any]:
    results = [model.results.get(suite) for model in models]
    rows = []
    for task in dict.fromkeys(task for result in results if result is not None for task in result.records):
        rows += _task(task, results, derive_seed(seed, suite, task), baseline)
    main = [row for row in rows if row["main"]]
    correct([row["tests"] for row in main], [row["metric"] for row in main])
    others = [row for row in rows if not row["main"]]
    correct([row["tests"] for row in others], [row["metric"] for row in others])
    printed = table_of(suite)
    columns = None
    if printed is not None:
        scored = [
            Scored(
                {name: result.records for name, result in model.results.items()},
                {name: result.raw for name, result in model.results.items()},
            )
            for model in models
        ]
        columns = compare_columns(printed, scored, derive_seed(seed, suite, "columns"), baseline)
        correct([row["tests"] for row in columns if not row["average"]], [row["metric"] for row in columns if not row["average"]])
        correct([row["tests"] for row in columns if row["average"]], [row["metric"] for row in columns if row["average"]])
    return {
        "suite": suite,
        "results": [None if result is None else _about(result) for result in results],
        "notes": _notes([result for result in results if result is not None]),
        "rows": rows,
        "columns": columns,
        "disagreements": disagreements(main, results, baseline, derive_seed(seed, suite, "disagreements")),
    }


def _about(result: StoredResult) -> dict[str, Any]:
    wanted = ("complete", "stopped_by", "settings", "setting", "versions", "seconds", "judge", "facts")
    contamination = result.raw.get("contamination") or {}
    return {
        "folder": str(result.folder),
        **{key: result.raw.get(key) for key in wanted},
        "contamination": {key: value for key, value in contamination.items() if key != "items"} or None,
    }


def _task(task: str, results: Sequence[StoredResult | None], seed: int, baseline: int) -> list[dict[str, Any]]:
    """Return a row for each metric of a task, its first one in front."""
    tables = [None if result is None else result.raw["tasks"].get(task) for result in results]
    items = [NOTHING if result is None else result.records.get(task, NOTHING) for result in results]
    first = main_metric(task, results)
    named = dict.fromkeys(metric for table in tables if table for metric in table["metrics"])
    metrics = sorted(named, key=lambda metric: metric != first)
    rows = []
    for metric in metrics:
        values = [
            None if table is None else _cell(table, table["metrics"].get(metric), mine, (metric, seed))
            for table, mine in zip(tables, items, strict=True)
        ]
        clean = [
            None if table is None or "clean" not in table else _clean(table["clean"], metric, mine)
            for table, mine in zip(tables, items, strict=True)
        ]
        tests = [
            _test(task, (results[number], results[baseline]), metric, derive_seed(seed, metric, number))
            if number != baseline
            else None
            for number in range(len(results))
        ]
        rows.append(
            {
                "task": task,
                "metric": metric,
                "main": metric == first,
                "unit": unit_of(metric, [cell["value"] for cell in values if cell]),
                "lower_is_better": lower_is_better(metric),
                "values": values,
                "clean": clean if any(clean) else None,
                "tests": tests,
            }
        )
    return rows


def main_metric(task: str, results: Sequence[StoredResult | None]) -> str | None:
    """Return the metric that a report prints of a task, else the one that its suite names first."""
    for result in results:
        if result is None or task not in result.records:
            continue
        names = next((known for record in result.records[task].values() if (known := (*record.scores, *record.ratios))), ())
        printed = table_of(result.suite)
        for column in printed.columns if printed is not None else ():
            if task in column.tasks and (found := column.metric_of(names)) is not None:
                return found
        if names:
            return names[0]
    return None


def _test(task: str, pair: tuple[StoredResult | None, StoredResult | None], metric: str, seed: int) -> dict[str, Any] | None:
    """Return the test of a model against the baseline; None where one of them has nothing of the task."""
    mine, against = pair
    if mine is None or against is None or not mine.records.get(task) or not against.records.get(task):
        return None
    if (why := why_unlike(mine.suite, task, mine.raw, against.raw)) is not None:
        return not_compared(why)
    return compare_items(mine.records[task], against.records[task], metric, seed)


def _cell(table: Mapping[str, Any], metric: Mapping[str, Any] | None, items: Items, by: tuple[str, int]) -> dict[str, Any] | None:
    """Return a metric as the result has it, with an error that knows which items hang together, as the result's does not."""
    if metric is None:
        return None
    cell = {**metric, "cut_items": table.get("cut_items", 0)}
    if items and not are_independent(items) and (strata := strata_of(items, by[0], 1.0)):
        found = mean_of_strata(strata, by[1])
        cell.update({name: found[name] for name in ("stderr", "low", "high")})
    return cell


def _clean(clean: Mapping[str, Any], metric: str, items: Items) -> dict[str, Any] | None:
    found = clean["metrics"].get(metric)
    if found is None:
        return None
    # The result's errors take items one by one, and it does not say which are clean.
    unknown = {} if are_independent(items) else {"stderr": None, "low": None, "high": None}
    return {**found, **unknown, "looked_up": clean["looked_up"]}


def correct(tests_by_row: Sequence[Sequence[dict[str, Any] | None]], metrics: Sequence[str]) -> None:
    """Put into each model's tests, one a row, the p-value corrected over the rows, how many they are, and the verdict in words."""
    for column in zip(*tests_by_row, strict=True):
        corrected = holm([None if test is None else test["p"] for test in column])
        tested = sum(p is not None for p in corrected)
        for test, p, metric in zip(column, corrected, metrics, strict=True):
            if test is not None:
                test.update(p_holm=p, tested_together=tested, verdict=verdict(test["value"], p, metric))


def _notes(results: Sequence[StoredResult]) -> list[str]:
    """Say what makes results of one suite less comparable than their table looks."""
    notes = [
        f"{result.label}: incomplete" + (f" (stopped: {result.raw['stopped_by']})" if result.raw.get("stopped_by") else "")
        for result in results
        if not result.complete
    ]
    for key, what in (("settings", "settings"), ("setting", "choice of items"), ("versions", "versions")):
        told = [dict(result.raw.get(key) or {}) for result in results]
        names = dict.fromkeys(name for one in told for name in one)
        different = [name for name in names if any(one.get(name) != told[0].get(name) for one in told)]
        notes += [f"{what} differ: {name}: {' / '.join(str(one.get(name)) for one in told)}" for name in sorted(different)]
    judges = dict.fromkeys(str((result.raw.get("judge") or {}).get("label")) for result in results)
    if len(judges) > 1:
        notes.append(f"graded by different judges: {' / '.join(judges)}")
    return notes
