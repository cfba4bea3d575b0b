"""One self-contained HTML page from a comparison: tables, figures, and items on which models disagree.

It is handed plain values (`evals.comparing.compare`) and adds nothing to them but the rows that reports print, marked as printed.
"""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.files import write_bytes
from pellucid.core.scores import format_difference, format_p, format_value, item_counts
from pellucid.core.units import format_count
from pellucid.plan.printed_scores import PrintedTable, table_of
from pellucid.report.blocks import Block, Sample, Section, Table
from pellucid.report.figures import Spread, dots
from pellucid.report.html import render
from pellucid.report.markup import Cell, details, figure, heading, note, paragraph, sample, section, table
from pellucid.report.needle import needle_figure

__all__ = ["cut_items", "no_averages", "printed_kinds", "printed_rows", "write_comparison"]

_MOST_DOTS = 24


def write_comparison(found: Mapping[str, Any], out: Path, *, printed: bool) -> None:
    """Write the page; raise `MissingExtraError` without matplotlib."""
    names = [model["name"] for model in found["models"]]
    style = "".join(files("pellucid.report").joinpath(name).read_text() for name in ("style.css", "compare.css"))
    sections = render(*(_suite(suite, found, names, printed=printed) for suite in found["suites"]))
    links = "".join(f'<a href="#{escape(suite["suite"])}">{escape(suite["suite"])}</a>' for suite in found["suites"])
    baseline = names[found["baseline"]]
    lead = f"Differences are from {baseline}." if len(names) > 1 else "One model; with a second one, differences are shown too."
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(' / '.join(names))}: comparison</title><style>{style}</style></head><body><main>"
        f'<h1>{escape(" / ".join(names))}</h1><p class="lead">{escape(lead)}</p>'
        '<p class="note">Values stand with their standard errors, intervals are 95 %, both by bootstrap of items. A test is of the '
        "items that both models have and were shown alike: McNemar's exact one where answers are right or wrong, else random signs "
        "of the differences. p-values of one table are corrected together (Holm). Needles of one seed are drawn together, and "
        "languages are taken to err together.</p>"
        f"<nav>{links}</nav>{render(_models(found))}{sections}</main></body></html>\n"
    )
    write_bytes(out, page.encode())


def _models(found: Mapping[str, Any]) -> Section:
    rows: list[list[Cell]] = []
    for model in found["models"]:
        subject = model["subject"]
        parameters = subject.get("parameters")
        rows.append(
            [
                model["name"],
                str(subject.get("path") or subject.get("url") or "–"),
                str(subject.get("digest") or "–")[:12],
                format_count(parameters) if isinstance(parameters, int) else None,
                str(subject.get("context_tokens") or "–"),
                ", ".join(model["incomplete"]) or "–",
            ]
        )
    columns = ("Model", "Where", "Digest", "Parameters", "Context", "Incomplete")
    return section("models", "Models", table(columns, rows, caption="What was scored.", numbers_from=3))


def _suite(suite: Mapping[str, Any], found: Mapping[str, Any], names: Sequence[str], *, printed: bool) -> Section:
    main = [row for row in suite["rows"] if row["main"]]
    parts: list[Block] = [paragraph(text) for text in suite["notes"]]
    report = table_of(suite["suite"])
    if report is not None and (printed or suite["columns"]):
        parts += _columns(suite, names, report, printed=printed)
    for unit in ("percent", "number"):
        parts += _figure(main, names, unit)
    parts.append(_values(main, names, suite))
    parts += map(note, cut_items(suite, names))
    for model in range(len(names)):
        if model != found["baseline"]:
            title = f"{names[model]} compared with {names[found['baseline']]}"
            parts += _tests([*main, *(row for row in suite["columns"] or () if row["average"])], model, title)
    others = [row for row in suite["rows"] if not row["main"]]
    if others:
        parts.append(details("Other metrics", _values(others, names, suite)))
    parts += _heat_maps(suite, names) + _contamination(suite, names) + _disagreements(suite, names, names[found["baseline"]])
    return section(suite["suite"], suite["suite"], *parts)


def printed_rows(report: PrintedTable) -> list[list[Cell]]:
    """Return a report's rows as they are printed, each marked."""
    return [
        [row.title, *(report.show(value) for value in (*row.values, *([row.average] if row.average is not None else [])))]
        for row in report.rows
    ]


def no_averages(suite: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Say of which models a report's average cannot be made, and for want of what."""
    wanting: dict[str, list[str]] = {}
    for row in suite["columns"] or ():
        for name, lacks in zip(names, row.get("missing", ()), strict=False):
            if lacks:
                wanting.setdefault(", ".join(lacks), []).append(name)
    return [f"No average of {', '.join(members)}: {lacks} missing." for lacks, members in wanting.items()]


def cut_items(suite: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Say how many items of each model were cut to fit its context."""
    main = [row["values"] for row in suite["rows"] if row["main"]]
    counts = [sum(values[number]["cut_items"] for values in main if values[number]) for number in range(len(names))]
    told = [f"{name}: {count}" for name, count in zip(names, counts, strict=True) if count]
    return [f"Items longer than the model's context, cut at their beginning: {', '.join(told)}."] if told else []


def printed_kinds(first: int, count: int) -> dict[int, str]:
    """Return the kinds of printed rows, from row `first` on: set apart from ours by a line."""
    return {number: "printed first" if number == first else "printed" for number in range(first, count)}


def _columns(suite: Mapping[str, Any], names: Sequence[str], report: PrintedTable, *, printed: bool) -> list[Block]:
    columns = {row["column"]: row for row in suite["columns"]}
    heads = [column.name for column in report.columns] + ([report.average] if report.average else [])
    rows: list[list[Cell]] = []
    for number, name in enumerate(names):
        cells = [columns.get(head) for head in heads]
        rows.append([name, *(format_value(row["values"][number], row["unit"]) if row else None for row in cells)])
    ours = len(rows)
    rows += printed_rows(report) if printed else []
    shots = [f" ({column.shots})" if column.shots is not None else "" for column in report.columns] + [""]
    titles = ["Model", *(f"{head}{shot}" for head, shot in zip(heads, shots, strict=False))]
    caption = f"As in {report.place}; examples in the prompt in brackets."
    notes = [*(report.footnotes if printed else ()), *no_averages(suite, names)]
    return [table(titles, rows, caption=caption, kinds=printed_kinds(ours, len(rows))), *map(note, notes)]


def _figure(rows: Sequence[Mapping[str, Any]], names: Sequence[str], unit: str) -> list[Block]:
    shown = [row for row in rows if row["unit"] == unit][:_MOST_DOTS]
    if not shown:
        return []
    scale = 100 if unit == "percent" else 1
    series = {name: [_spread(row["values"][number], scale) for row in shown] for number, name in enumerate(names)}
    label = "%" if unit == "percent" else " / ".join(dict.fromkeys(row["metric"] for row in shown))
    caption = f"Values with 95 % intervals, {len(shown)} tasks."
    return [figure(dots([row["task"] for row in shown], series, label), caption, "")]


def _spread(cell: Mapping[str, Any] | None, scale: float) -> Spread | None:
    if cell is None or cell["value"] is None:
        return None
    low, high = (None if cell[end] is None else scale * cell[end] for end in ("low", "high"))
    return scale * cell["value"], low, high


def _values(rows: Sequence[Mapping[str, Any]], names: Sequence[str], suite: Mapping[str, Any]) -> Table:
    lines: list[list[Cell]] = []
    clean: dict[int, str] = {}
    for row in rows:
        metric = row["metric"] + (", %" if row["unit"] == "percent" else "") + (" ↓" if row["lower_is_better"] else "")
        lines.append(
            [row["task"], metric, item_counts(row["values"]), *(format_value(cell, row["unit"]) for cell in row["values"])]
        )
        if row["clean"] is not None:
            clean[len(lines)] = "clean"
            lines.append(
                ["clean items", "", item_counts(row["clean"]), *(format_value(cell, row["unit"]) for cell in row["clean"])]
            )
    cut = [result is not None and not result["complete"] for result in suite["results"]]
    heads = [f"{name} (incomplete)" if short else name for name, short in zip(names, cut, strict=True)]
    caption = "Tasks by model. ↓ marks metrics of which less is better."
    return table(("Task", "Metric", "Items", *heads), lines, caption=caption, numbers_from=2, kinds=clean)


def _tests(rows: Sequence[Mapping[str, Any]], model: int, title: str) -> list[Block]:
    lines: list[list[Cell]] = []
    told: dict[int, str] = {}
    different = 0
    for row in rows:
        test = row["tests"][model]
        if test is None:
            continue
        different += test["different_prompts"]
        words = test["verdict"] if test["reason"] is None else f"not compared: {test['reason']}"
        if words in ("better", "worse"):
            told[len(lines)] = "told"
        only = f"{test['only_a']} / {test['only_b']}" if test["only_a"] is not None else None
        name = row.get("task") or f"{row['column']} (average)"
        lines.append([name, str(test["items"]), only, format_difference(test, row["unit"]), format_p(test["p_holm"]), words])
    if not lines:
        return []
    caption = "Paired tests. Only one right: this model / the other."
    if different:
        caption += f" {different} items that the two were shown with different prompts, or cut differently, are left out."
    heads = ("Task", "Items", "Only one right", "Difference [95 %]", "p", "In words")
    return [heading(title), table(heads, lines, caption=caption, numbers_from=1, kinds=told)]


def _heat_maps(suite: Mapping[str, Any], names: Sequence[str]) -> list[Block]:
    """Return needle in a haystack of each model that has it, in colours that mean the same."""
    parts: list[Block] = []
    for name, result in zip(names, suite["results"], strict=True):
        facts = (result or {}).get("facts") or {}
        if suite["suite"] == "needle" and "tables" in facts:
            caption = f"{name}: needle in a haystack, by length of the prompt and depth of the needle."
            parts.append(figure(needle_figure(facts), caption, ""))
    return parts


def _contamination(suite: Mapping[str, Any], names: Sequence[str]) -> list[Block]:
    lines: list[list[Cell]] = []
    for name, result in zip(names, suite["results"], strict=True):
        counts = (result or {}).get("contamination")
        for task, one in (counts or {}).get("by_task", {}).items():
            lines.append([name, task, *(str(one[key]) for key in ("looked_up", "contaminated", "cannot_be_told"))])
    if not lines:
        return []
    caption = (
        "Items looked up in what the model was trained on, by runs of 13 words; short items cannot be told from ordinary text."
    )
    columns = ("Model", "Task", "Looked up", "In training text", "Cannot be told")
    return [heading("Contamination"), table(columns, lines, caption=caption, numbers_from=2)]


def _disagreements(suite: Mapping[str, Any], names: Sequence[str], baseline: str) -> list[Block]:
    parts: list[Block] = []
    for one in suite["disagreements"]:
        name = names[one["model"]]
        for side, title in (("better", f"only {name} is right"), ("worse", f"only {baseline} is right")):
            parts += [_example(example, f"{one['task']}: {title}", name, baseline) for example in one[side]]
    return [details(f"Items on which they disagree ({len(parts)} drawn)", parts)] if parts else []


def _example(example: Mapping[str, Any], title: str, name: str, baseline: str) -> Sample:
    group = f", {example['group']}" if example["group"] else ""
    text = example["text"] or ""
    said = ((name, _json(example["mine"])), (baseline, _json(example["theirs"])))
    return sample(f"{title} · item {example['item']}{group}", *said, text=text if isinstance(text, str) else _json(text))


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
