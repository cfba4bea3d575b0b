"""The part of the section of data mixes about the mixing law: what it forecast, what came, and its parameters."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.scores import MINUS
from pellucid.report.blocks import Block, Cell
from pellucid.report.figures import Spread, dots
from pellucid.report.markup import details, figure, heading, note, paragraph, table
from pellucid.report.study.numbers import ends, interval, number

__all__ = ["law_blocks"]

Found = Mapping[str, Any]

_BY = {
    "row": "rows of Table 9",
    "category": "categories",
    "kind": "English, other languages and code",
    "own": "its own text and the rest",
}
_RUNS_AWAY = 30  # times the error of the mean of the others
_TEXT = {"all": "all text", "language": "language", "category": "domain"}


def law_blocks(law: Found | None) -> list[Block]:
    """Return the law's forecasts against what came, its errors when runs are left out, and its parameters."""
    if law is None:
        return []
    parts: list[Block] = [
        heading("A law of mixes"),
        paragraph(
            "Bits per byte of a group of text as c + k·exp(Σ t·share) over shares of domains (arXiv 2403.16952), fitted to "
            f"{', '.join(law['fitted'])}. Where mixes are few, sources are put together into fewer domains, so that there are "
            "fewer parameters than mixes. Beside it stand a linear regression on the same shares, the mean of the two mixes whose "
            "shares are nearest, and the mean of all fitted runs."
        ),
    ]
    parts += _forecasts(law) + _errors(law) + _parameters(law)
    untold = [f"{_name(group)}: {group['note']}." for group in law["groups"] if group["note"] is not None]
    return [*parts, *map(note, [*law["notes"], *untold])]


def _forecasts(law: Found) -> list[Block]:
    summary = law["summary"]
    if not summary or not any(group["forecasts"] for group in law["groups"]):
        return []
    parts: list[Block] = []
    for level in law["forecast"]:
        found = [(group, one) for group in law["groups"] for one in group["forecasts"] if one["level"] == level]
        lines: list[list[Cell]] = []
        told: dict[int, str] = {}
        for group, one in found:
            told |= {len(lines): "told"} if one["inside"] is False else {}
            inside = one["note"] or {True: "inside", False: "outside", None: "no interval"}[one["inside"]]
            cells = [
                None if one["law"] is None else interval(ends(one["law"])),
                number(one["came"]),
                inside,
                number(one["linear"]),
                number(one["neighbours"]),
                number(one["mean"]),
            ]
            lines.append([_name(group), *cells])
        heads = ("Text", "Forecast [95 %]", "Came", "", "Linear", "Nearest two", "Mean of all")
        nearest = next((" and ".join(one["nearest"]) for _, one in found), "")
        caption = f"{level}: bits per byte as forecast from the other mixes, and what came (mean over seeds). Nearest: {nearest}."
        drawn = [(group, one) for group, one in found if one["law"] is not None]
        if drawn:
            series: dict[str, list[Spread | None]] = {
                "forecast": [(one["law"]["value"], one["law"]["low"], one["law"]["high"]) for _, one in drawn],
                "came": [(one["came"], None, None) for _, one in drawn],
            }
            names = [_name(group) for group, _ in drawn]
            drawing = dots(names, series, "bits per byte")
            parts.append(figure(drawing, f"{level}: forecast with its 95 % interval, and what came.", ""))
        parts.append(table(heads, lines, caption=caption, kinds=told))
    if summary["count"]:
        errors = ", ".join(
            f"{name} {number(summary[key])}"
            for name, key in (("law", "law"), ("linear", "linear"), ("the nearest two", "neighbours"), ("mean of all", "mean"))
        )
        parts.append(
            paragraph(
                f"{summary['inside']} of {summary['with_interval']} lie inside the interval; 95 % should. Mean absolute error: "
                f"{errors}. {summary['above']} of {summary['count']} came above the forecast. The groups share runs and are not "
                "independent."
            )
        )
    return parts


def _errors(law: Found) -> list[Block]:
    lines: list[list[Cell]] = []
    nearer: list[bool] = []
    for group in law["groups"]:
        if group["note"] is None:
            cells: list[Cell] = [_name(group)]
            for part in ("left_out_run", "left_out_mix"):
                of = group[part]
                cells += [str(of["count"]), *(_error(of[name], of["mean"]) for name in ("law", "linear", "mean"))]
            lines.append(cells)
            whole = group["left_out_mix"]
            if whole["law"] is not None:
                nearer.append(whole["law"] < whole["mean"])
    heads = ("Text", "Runs", "Law", "Linear", "Mean", "Mixes", "Law", "Linear", "Mean")
    caption = (
        "Errors (root mean square, bits per byte) when one run is forecast from all others, and when a mix is with all its seeds. "
        "The second mostly asks what lies outside of the fitted mixes; a mix that changes what no other changes is not forecast."
    )
    if not lines:
        return []
    told = f"With whole mixes left out, the law is nearer than the mean of the others in {sum(nearer)} of {len(nearer)} groups."
    return [paragraph(told), details("Leaving runs and mixes out", table(heads, lines, caption=caption))]


def _error(value: float | None, of_mean: float | None) -> str:
    """Return an error; a law that runs away beyond what it was fitted to has no figure worth printing."""
    if value is not None and of_mean is not None and value > _RUNS_AWAY * of_mean:
        return "diverges"
    return number(value)


def _parameters(law: Found) -> list[Block]:
    lines: list[list[Cell]] = []
    for group in law["groups"]:
        if group["note"] is None:
            slopes = ", ".join(f"{domain} {t:+.2f}" for domain, t in group["t"].items()).replace(" -", f" {MINUS}")
            counts = f"{group['parameters']} of {group['mixes']} mixes, {group['runs']} runs"
            cells: list[Cell] = [_name(group), _BY[group["by"]], counts, f"{group['c']:.3f}", f"{group['k']:.3f}"]
            lines.append([*cells, f"{group['residual']:.4f}", slopes])
    heads = ("Text", "Domains", "Parameters", "c", "k", "Residual", "t")
    caption = (
        "The law of each group: c + k is the loss of the mean mix, t the slopes against it. Domains that vary only together have "
        "the shortest slopes that fit. Residual: root mean square."
    )
    return [details("Parameters", table(heads, lines, caption=caption, numbers_from=2))] if lines else []


def _name(group: Found) -> str:
    return _TEXT["all"] if group["kind"] == "all" else f"{group['group']} ({_TEXT.get(group['kind'], group['kind'])})"
