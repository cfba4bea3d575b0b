"""The section about benchmarks: what suites left in the run, and beside it, marked as printed, what reports print."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pellucid.core.errors import ArtifactError
from pellucid.core.scores import RESULT, RESULT_SCHEMA, Unit, lower_is_better, unit_of
from pellucid.plan.printed_scores import PrintedColumn, PrintedTable, table_of
from pellucid.recipe.recipe import Recipe
from pellucid.report.blocks import Block, Section, Table
from pellucid.report.compare import printed_kinds, printed_rows
from pellucid.report.facts import Fact, Facts
from pellucid.report.markup import Cell, figure, heading, note, paragraph, section, table
from pellucid.report.needle import needle_figure

__all__ = ["benchmarks", "find_benchmarks", "left_out"]

_NOT_RUN = "No benchmark beyond held-out text and conversations was run on this model."
_MOST_TASKS = 40
_FOLDERS = ("benchmarks", "evals")
"""Results of the recipe's own stage, and of `pellucid evaluate RUN`."""


def find_benchmarks(run: Path) -> list[str]:
    """Return the results below the run's `benchmarks/` and `evals/`, as files of the run; none that are being made or set aside."""
    files = (file.relative_to(run) for folder in _FOLDERS for file in (run / folder).rglob(RESULT))
    return sorted(str(file) for file in files if not any(part.startswith(".") or ".superseded-" in part for part in file.parts))


def benchmarks(facts: Facts, recipe: Recipe) -> Section | None:
    """Each suite's tasks with their errors, the report's own table where there is one; empty where no suite was run.

    Raises `ArtifactError` for a result of another version.
    """
    parts: list[Block] = []
    for file in find_benchmarks(facts.run):
        result = facts.document(file)
        if not isinstance(result, dict) or result.get("schema") != RESULT_SCHEMA:
            raise ArtifactError(f"{facts.run / file} is no result of schema {RESULT_SCHEMA}; evaluate again, or remove its folder")
        parts.append(heading(_title(facts, file)))
        parts += map(paragraph, _notes(result))
        printed = table_of(result["suite"])
        if printed is not None:
            parts += _as_printed(facts, file, printed)
        parts.append(_tasks(facts, file, printed))
        if result["suite"] == "needle" and "tables" in (result.get("facts") or {}):
            drawn = needle_figure(result["facts"])
            parts.append(
                figure(drawn, "Needle in a haystack, by length of the prompt and depth of the needle.", file, "/facts/tables")
            )
    text = (
        "Standard errors are by bootstrap of items. Clean items are those that no text that the model was trained on holds. Rows "
        "with † are printed in reports and were not measured here."
    )
    return section("benchmarks", "Benchmarks", paragraph(text), *parts) if parts else None


def left_out(facts: Facts) -> list[str]:
    """Say what is not known of benchmarks: that there are none, or that their items were not looked up in the training text."""
    files = find_benchmarks(facts.run)
    if not files:
        return [_NOT_RUN]
    unseen = [facts.document(file)["suite"] for file in files if not facts.document(file).get("contamination")]
    if not unseen:
        return []
    return [f"Items of {', '.join(dict.fromkeys(unseen))} were not looked up in what the model was trained on."]


def _title(facts: Facts, file: str) -> str:
    result = facts.document(file)
    return f"{result['suite']}: {result['subject']['label']}"


def _notes(result: Mapping[str, Any]) -> list[str]:
    notes = []
    if not result["complete"]:
        notes.append(f"Incomplete: {result.get('stopped_by') or 'it was cut off'}.")
    if limit := (result.get("setting") or {}).get("limit"):
        notes.append(f"At most {limit} items of each task, chosen by seed {result['setting'].get('seed')}.")
    if judge := result.get("judge"):
        notes.append(f"Graded by {judge.get('label')}.")
    return notes


def _tasks(facts: Facts, file: str, printed: PrintedTable | None) -> Table:
    """Return a row for each task and metric; of a report's tasks the metric that it prints."""
    tasks = facts.document(file)["tasks"]
    some_clean = any((one.get("clean") or {}).get("metrics") for one in tasks.values())
    rows: list[list[Cell]] = []
    for task in list(tasks)[:_MOST_TASKS]:
        metrics = list(tasks[task]["metrics"])
        column = next((one for one in printed.columns if task in one.tasks), None) if printed is not None else None
        chosen = column.metric_of(metrics) if column is not None else None
        for number, metric in enumerate([chosen] if chosen is not None else metrics):
            unit = unit_of(metric, [tasks[task]["metrics"][metric]["value"]])
            name = metric + (", %" if unit == "percent" else "") + (" ↓" if lower_is_better(metric) else "")
            row: list[Cell] = [task if number == 0 else "", name, *_measured(facts, unit, file, "tasks", task, "metrics", metric)]
            if some_clean:
                known = metric in (tasks[task].get("clean") or {}).get("metrics", {})
                row += _measured(facts, unit, file, "tasks", task, "clean", "metrics", metric) if known else [None] * 3
            rows.append(row)
    columns = ["Task", "Metric", "Value", "± stderr", "Items"] + (["Clean only", "± stderr", "Items"] if some_clean else [])
    caption = "↓ marks metrics of which less is better."
    if len(tasks) > _MOST_TASKS:
        caption += f" The first {_MOST_TASKS} of {len(tasks)} tasks; all are in {file}."
    return table(columns, rows, caption=caption, numbers_from=2)


def _measured(facts: Facts, unit: Unit, file: str, *at: str) -> list[Cell]:
    return [_number(facts, unit, file, *at, "value"), _number(facts, unit, file, *at, "stderr"), facts.get(file, *at, "items")]


def _as_printed(facts: Facts, file: str, printed: PrintedTable) -> list[Block]:
    """Return the report's table: our row, then the printed ones."""
    found = [_column(facts, file, column, printed) for column in printed.columns]
    values = [value for value, _ in found]
    row: list[Cell] = [facts.document(file)["subject"]["label"], *(cell for _, cell in found)]
    if printed.average is not None:
        known = [value for value in values if value is not None]
        scale = 100 if printed.unit == "percent" else 1
        row.append(f"{scale * sum(known) / len(known):.1f}" if len(known) == len(values) else None)
    rows = [row, *printed_rows(printed)]
    heads = [f"{one.name} ({one.shots})" if one.shots is not None else one.name for one in printed.columns]
    heads += [printed.average] if printed.average is not None else []
    caption = f"As in {printed.place}; examples in the prompt in brackets."
    return [table(("Model", *heads), rows, caption=caption, kinds=printed_kinds(1, len(rows))), *map(note, printed.footnotes)]


def _column(facts: Facts, file: str, column: PrintedColumn, printed: PrintedTable) -> tuple[float | None, Cell]:
    """Return a column's value from the suite's own tables, and its cell: a fact where it is one number of the result."""
    tasks = facts.document(file)["tasks"]
    values, last = [], None
    for task in column.tasks:
        part: Sequence[str] = ("groups", column.part) if column.part is not None else ()
        there = tasks.get(task, {})
        for key in part:
            there = there.get(key, {})
        metric = column.metric_of(there.get("metrics", {}))
        value = there["metrics"][metric]["value"] if metric is not None else None
        if metric is None or value is None:
            return None, None
        values.append(float(value))
        last = _number(facts, unit_of(metric, values), file, "tasks", task, *part, "metrics", metric, "value")
    mean = sum(values) / len(values)
    return mean, last if len(values) == 1 else f"{100 * mean:.1f}" if printed.unit == "percent" else f"{mean:.2f}"


def _number(facts: Facts, unit: Unit, file: str, *keys: str) -> Fact | None:
    def show(value: float | None) -> str:
        if value is None:
            return ""
        return f"{100 * value:.1f}" if unit == "percent" else f"{value:.3f}"

    fact = facts.get(file, *keys, show=show)
    return None if fact.value is None else fact
