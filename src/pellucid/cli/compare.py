"""`pellucid compare A B …`: results of suites beside each other, with paired tests, and beside what reports print."""

import argparse
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rich.text import Text

from pellucid.cli.compare_training import print_stability, stability_over_training
from pellucid.cli.output import open_console, print_json, print_rich, print_table, print_text
from pellucid.core.errors import UsageError
from pellucid.core.scores import format_difference, format_p, format_value, item_counts
from pellucid.evals.comparing import Model, compare, group_models
from pellucid.evals.stored import open_results
from pellucid.plan.printed_scores import PrintedTable, table_of
from pellucid.report.compare import cut_items, no_averages, write_comparison

__all__ = ["command"]

_MOST_ROWS = 30
_WIDE = 120
_RULE = (
    "Tests are of the items that both models have and were shown alike. p: McNemar's exact test where answers are right or wrong, "
    "else random signs of the differences; those of one table are corrected together (Holm), an average's by itself. Errors and "
    "95 % intervals are by bootstrap of items; needles of one seed are drawn together, and languages are taken to err together."
)


def command(arguments: argparse.Namespace) -> int:
    """Read results, compare, print tables or JSON, and write the page where one is asked for."""
    results = {path: open_results(Path(path)) for path in dict.fromkeys(arguments.results)}
    models = group_models(results)
    baseline = _baseline(models, arguments.baseline)
    found = compare(models, arguments.seed, baseline)
    if arguments.printed:
        found["printed"] = [table.model_dump(mode="json") for suite in found["suites"] if (table := table_of(suite["suite"]))]
    found["stability"] = stability_over_training(chain.from_iterable(results.values()), arguments.seed)
    if arguments.html:
        write_comparison(found, Path(arguments.html), printed=arguments.printed)
    if arguments.json:
        print_json(found)
    else:
        _print(found, printed=arguments.printed, every_metric=arguments.every_metric)
        if found["stability"] is not None:
            print_stability(found["stability"])
        if arguments.html:
            print_text(f"\nwritten: {arguments.html}")
    return 0


def _baseline(models: Sequence[Model], wanted: str | None) -> int:
    if wanted is None:
        return 0
    for number, model in enumerate(models):
        if wanted in (model.name, model.given):
            return number
    names = ", ".join(dict.fromkeys(model.name for model in models))
    raise UsageError(f"--baseline: got {wanted!r}; must be one of the models ({names}) or the path that was given for it")


def _print(found: Mapping[str, Any], *, printed: bool, every_metric: bool) -> None:
    names = [model["name"] for model in found["models"]]
    tested = False
    for number, suite in enumerate(found["suites"]):
        print_rich(Text(("\n\n" if number else "") + suite["suite"], style="bold"))
        for note in suite["notes"]:
            print_text(f"  {note}")
        rows = [row for row in suite["rows"] if row["main"] or every_metric]
        if not rows:
            print_text("  no item is scored yet")
            continue
        print_text("")
        _print_values(rows, names, suite)
        for model, name in enumerate(names):
            if model != found["baseline"]:
                tested |= _print_tests(rows, suite, model, f"{name} compared with {names[found['baseline']]}")
        table = table_of(suite["suite"])
        if table is not None and (printed or suite["columns"]):
            _print_columns(suite, names, table, printed=printed)
    if tested:
        print_text("")
        print_rich(Text(_RULE, style="dim"))


def _print_values(rows: Sequence[Mapping[str, Any]], names: Sequence[str], suite: Mapping[str, Any]) -> None:
    """Print tasks × models: value ± standard error, and clean items beneath where contamination was looked up."""
    incomplete = [result is not None and not result["complete"] for result in suite["results"]]
    heads = [f"{name} (incomplete)" if cut else name for name, cut in zip(names, incomplete, strict=True)]
    lines: list[list[str | Text]] = []
    for row in rows[:_MOST_ROWS]:
        cells = [format_value(cell, row["unit"]) for cell in row["values"]]
        lines.append([row["task"], _metric(row), item_counts(row["values"]), *cells])
        if row["clean"] is not None:
            cells = [format_value(cell, row["unit"]) for cell in row["clean"]]
            lines.append([Text(text, style="dim") for text in ("  clean items", "", item_counts(row["clean"]), *cells)])
    print_table(("task", "metric", "items", *heads), lines, right=range(2, 3 + len(names)))
    if len(rows) > _MOST_ROWS:
        print_text(f"and {len(rows) - _MOST_ROWS} more tasks; --html FILE and --json show all")
    for line in cut_items(suite, names):
        print_text(line)
    if any(row["clean"] is not None for row in rows):
        print_text("clean items: no text that the model was trained on holds them")


def _metric(row: Mapping[str, Any]) -> str:
    unit = "%" if row["unit"] == "percent" else ""
    return f"{row['metric']}{', ' if unit else ''}{unit}{' ↓' if row['lower_is_better'] else ''}"


def _print_tests(rows: Sequence[Mapping[str, Any]], suite: Mapping[str, Any], model: int, title: str) -> bool:
    """Print one model's paired tests, task by task, then that of the report's average; tell whether there are any."""
    lines, different = [], 0
    made = [row for row in rows if row["tests"][model] is not None]
    averages = [row for row in suite["columns"] or () if row["average"] and row["tests"][model] is not None]
    for row in [*made[:_MOST_ROWS], *averages]:
        test = row["tests"][model]
        different += test["different_prompts"]
        name = row.get("task") or f"{row['column']} (average)"
        words = test["verdict"] if test["reason"] is None else f"not compared: {test['reason']}"
        difference = format_difference(test, row["unit"])
        lines.append((name, test["items"], difference, format_p(test["p_holm"]), words))
    if not lines:
        return False
    print_rich(Text(f"\n{title}", style="italic"))
    print_table(("", "items", "difference [95 %]", "p", ""), lines, right=(1, 2, 3))
    if len(made) > _MOST_ROWS:
        print_text(f"and {len(made) - _MOST_ROWS} more tests; --html FILE and --json show all")
    if different:
        print_text(f"{different} items that the two were shown with different prompts, or cut differently, are left out")
    return any(row[3] != "–" for row in lines)


def _print_columns(suite: Mapping[str, Any], names: Sequence[str], table: PrintedTable, *, printed: bool) -> None:
    """Print the report's own table: our models' rows, then the printed ones, each marked."""
    columns = {row["column"]: row for row in suite["columns"]}
    heads = [column.name for column in table.columns] + ([table.average] if table.average else [])
    wide = open_console().width >= _WIDE
    lines: list[list[str | Text]] = []
    for number, name in enumerate(names):
        cells = [columns.get(head) for head in heads]
        lines.append([name, *(format_value(row["values"][number], row["unit"], error=wide) if row else "–" for row in cells)])
    for row in table.rows if printed else ():
        values = [*row.values, *([row.average] if row.average is not None else [])]
        lines.append([Text(text, style="dim") for text in (row.title, *map(table.show, values))])
    shots = [f"\n{column.shots}-shot" if column.shots is not None else "" for column in table.columns] + [""]
    titles = ("", *(f"{head}{shot}" for head, shot in zip(heads, shots, strict=False)))
    print_rich(Text(f"\nas in {table.place}", style="italic"))
    print_table(titles, lines, right=range(1, 1 + len(heads)))
    for line in no_averages(suite, names):
        print_text(line)
    for note in table.footnotes if printed else ():
        print_rich(Text(note, style="dim"))
