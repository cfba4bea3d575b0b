"""A ladder by language and category: the law of each group, and its forecast beside what came."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.report.blocks import Block
from pellucid.report.figures import Spread, dots
from pellucid.report.markup import Cell, figure, heading, note, table
from pellucid.report.study.numbers import ends, interval, signed, yes_no

__all__ = ["group_tables"]

Found = Mapping[str, Any]

_TITLES = {"language": "By language", "category": "By category"}


def group_tables(found: Found) -> list[Block]:
    """Return for each kind of group and each forecast rung a figure and a table; nothing where groups have no forecasts."""
    parts: list[Block] = []
    for kind, rows in found["groups"].items():
        for place, whole in enumerate(found["forecasts"]):
            own = [(row, row["forecasts"][place]) for row in rows if row["forecasts"][place]["value"] is not None]
            if own:
                parts += [heading(f"{_TITLES[kind]}: {whole['rung']}"), *_of_kind(own, whole["rung"])]
    if parts:
        text = (
            "Each group has a law of its own, fitted to its own scores of the same runs: groups err together, so that many outside "
            "their intervals may be one mishap, and few of them no proof."
        )
        parts.append(note(text))
    return parts


def _of_kind(own: Sequence[tuple[Found, Found]], rung: str) -> list[Block]:
    names = [row["group"] for row, _ in own]
    series: dict[str, list[Spread | None]] = {"forecast": [(one["value"], one["low"], one["high"]) for _, one in own]}
    told = f"{rung}: forecast, with what 95 % of new runs are expected in"
    if any(one["came"] is not None for _, one in own):
        told += ", and what came"
        series["came"] = [None if one["came"] is None else (one["came"], None, None) for _, one in own]
    rows: list[list[Cell]] = []
    for row, one in own:
        came = "not run" if one["state"] == "not run" else None if one["came"] is None else f"{one['came']:.3f}"
        exponent = next(one for one in row["law"]["parameters"] if one["name"] == "a")
        rows.append(
            [
                row["group"],
                interval(ends(one)),
                came,
                signed(one["error_percent"], 2),
                yes_no(one["inside"]),
                interval(ends(exponent)),
            ]
        )
    known = [one["inside"] for _, one in own if one["inside"] is not None]
    caption = f"{rung} by groups, bits per byte."
    if known:
        caption += f" What came lies inside the interval for {sum(known)} of {len(known)}."
    heads = ("Group", "Forecast [95 %]", "Came", "Error, %", "Inside", "Exponent a [95 %]")
    drawn = figure(dots(names, series, "bits per byte"), f"{told}.", "")
    return [drawn, table(heads, rows, caption=caption)]
