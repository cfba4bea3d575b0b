"""The page of a study: what was asked, what each axis does and how sure that is, what it took, every run. It reads `study.json`."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from pellucid.core.files import write_bytes
from pellucid.core.units import format_count, format_duration
from pellucid.report.blocks import Block, Section
from pellucid.report.html import render
from pellucid.report.markup import Cell, note, paragraph, section, table
from pellucid.report.study.batch_size import batch_size_section
from pellucid.report.study.continued import continued_section
from pellucid.report.study.effects import effects_section
from pellucid.report.study.metrics import METRICS
from pellucid.report.study.mixes import mixes_section
from pellucid.report.study.numbers import yes_no
from pellucid.report.study.scaling import scaling_section
from pellucid.report.study.schedules import schedules_section

__all__ = ["study_sections", "write_study_page"]

_ANALYSES: dict[str, Callable[[Mapping[str, Any]], Section]] = {
    "schedules": schedules_section,
    "mixes": mixes_section,
    "batch_size": batch_size_section,
    "continued": continued_section,
    "scaling": scaling_section,
}


def write_study_page(found: Mapping[str, Any], out: Path) -> None:
    """Write the page; raise `MissingExtraError` without matplotlib."""
    sections = study_sections(found)
    study = found["study"]
    style = "".join(files("pellucid.report").joinpath(name).read_text() for name in ("style.css", "compare.css"))
    links = "".join(f'<a href="#{escape(one.name)}">{escape(one.title)}</a>' for one in sections)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(study['name'])}: a study</title><style>{style}</style></head><body><main>"
        f'<h1>{escape(study["name"])}</h1><p class="lead">{escape(study["description"])}</p>'
        f"<nav>{links}</nav>{render(*sections)}</main></body></html>\n"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, page.encode())


def study_sections(found: Mapping[str, Any]) -> list[Section]:
    """Return the sections of the page in order."""
    own = [build(found[name]) for name, build in _ANALYSES.items() if name in found]
    return [*own, effects_section(found["effects"], by_group="mixes" not in found), _cost(found), _runs(found)]


def _cost(found: Mapping[str, Any]) -> Section:
    cost, outcomes = found["cost"], found["cost"]["outcomes"]
    told = ", ".join(f"{count} {name}" for name, count in outcomes.items() if count)
    whole = cost["tokens"] + cost["shared_tokens"]
    data = cost["data_s"]
    rows: list[list[Cell]] = [
        ["Runs", f"{cost['runs']} ({told})"],
        ["Tokens trained on", format_count(cost["tokens"])],
        ["Tokens that runs had in common with others", f"{format_count(cost['shared_tokens'])} of {format_count(whole)}"],
        ["Floating-point operations (6·N and attention)", f"{cost['flops']:.3g}"],
        ["Time of all runs added up", format_duration(cost["seconds"])],
        ["Processor time", f"{cost['cpu_hours']:.2f} core hours"],
        ["Energy, measured by counters where there are any and else estimated", f"{cost['joules'] / 3.6e6:.4f} kWh"],
    ]
    first = max(data, default=0.0)
    rest = sorted(data)[:-1]
    parts: list[Block] = [table(("", ""), rows, caption="What the study took, failed and stopped runs included.", numbers_from=1)]
    if rest:
        parts.append(
            note(
                f"Documents, tokenizer and shards took {format_duration(first)} in the run that made them and "
                f"{format_duration(max(rest))} at most in any other."
            )
        )
    return section("cost", "What it cost", *parts)


def _runs(found: Mapping[str, Any]) -> Section:
    axes = list(dict.fromkeys(axis for run in found["runs"] for axis in run["levels"]))
    rows: list[list[Cell]] = []
    for run in found["runs"]:
        metric = None if run["metric"] is None else f"{run['metric']:.4f}"
        levels: list[Cell] = [run["levels"].get(axis) for axis in axes]
        told = run["outcome"] if not run["message"] else f"{run['outcome']}: {run['message']}"
        rows.append(
            [run["name"], *levels, str(run["seed"]), told, metric, format_count(run["tokens"]), format_duration(run["cpu_s"])]
        )
    metric_name = METRICS[found["study"]["metric"]]
    heads = ("Run", *axes, "Seed", "Outcome", "Metric", "Own tokens", "Core time")
    caption = f"Every run. The metric is {metric_name}; own tokens are those that no other run had trained on before it."
    whole = table(heads, rows, caption=caption, numbers_from=len(axes) + 3)
    return section("runs", "Runs", paragraph(f"Compared by {metric_name}."), whole, *_made_with(found["made_with"]))


def _made_with(found: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Say what trained the runs, and warn where that was not the same for all runs of a stage."""
    stages = list(dict.fromkeys(one["stage"] for one in found))
    told = [", ".join(f"{name.replace('_', ' ')} {_setting(value)}" for name, value in one["settings"].items()) for one in found]
    if len(found) == len(stages):
        if len(set(told)) < 2:
            return [note(f"All were trained with: {words}.") for words in told[:1]]
        return [note(f"All were trained with, in {stage}: {words}.") for stage, words in zip(stages, told, strict=True)]
    warning = "Not all runs were trained with the same settings. Others can give other bits, and may be part of a difference."
    whose = [f"{one['stage']}, {words}: {', '.join(one['runs'])}." for words, one in zip(told, found, strict=True)]
    return [note(warning), *(note(words) for words in whose)]


def _setting(value: Any) -> str:
    return yes_no(value) if isinstance(value, bool) else str(value)
