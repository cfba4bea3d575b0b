"""A study's section about its axes: what each level does against the baseline, how sure that is, and what cannot be told apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.excerpt import in_words
from pellucid.core.scores import format_p
from pellucid.report.blocks import Block, Section
from pellucid.report.figures import Spread, dots
from pellucid.report.markup import Cell, details, figure, heading, note, paragraph, section, table
from pellucid.report.study.effects_figure import difference_drawing
from pellucid.report.study.metrics import METRICS
from pellucid.report.study.numbers import DIFFERENCE, difference, ends, number, signed

__all__ = ["effects_section"]

Found = Mapping[str, Any]

_TOLD = ("better", "worse")
_MOST_SERIES = 6  # levels that can be told from each other in one figure of groups


def effects_section(found: Found, *, by_group: bool = True) -> Section:
    """Return the section of a study's effects: `metric`, `axes` (`effects_of` each), `by_group` (kind → group → axes), `runs`.

    Without `by_group` where another section has effects by group: corrected otherwise, the same number would have two verdicts.
    Raises `MissingExtraError` without matplotlib.
    """
    what = METRICS[found["metric"]]
    if not any(_compared(axis) for axis in found["axes"]):
        text = f"{found['runs']} runs can be compared, and no axis has two levels among them: nothing can be said of effects."
        return section("effects", "What each axis does", paragraph(text))
    lead = (
        f"Differences in {what} from the baseline at the same seed and the same levels of all other axes; below 0 is better. "
        "Intervals are 95 %, from the noise of all runs of an axis together, or of the two levels alone where it says so; p is "
        "corrected over the levels of an axis (Holm)."
    )
    parts: list[Block] = [paragraph(lead), paragraph(_in_words(found["axes"]))]
    for axis in found["axes"]:
        parts += _axis(axis, what)
    parts += _groups(found) if by_group else []
    return section("effects", "What each axis does", *parts)


def _compared(axis: Found) -> list[Found]:
    return [row for row in axis["rows"] if row["level"] != axis["baseline"] and row["difference"] is not None]


def _in_words(axes: Sequence[Found]) -> str:
    """Say which effects are larger than the spread over seeds, which are there but smaller, and which cannot be told apart."""
    sorts: dict[str, list[str]] = {"turns": [], "large": [], "small": [], "unsized": [], "untold": [], "not": []}
    for axis in axes:
        for row in axis["rows"]:
            if row["level"] == axis["baseline"]:
                continue
            name = f"{row['level']} ({axis['axis']})"
            if row["turns"]:
                sorts["turns"].append(f"{name}: {_turns(row)}")
            elif row["verdict"] in _TOLD:
                size = row["of_spread"]
                sort = "unsized" if size is None else "large" if size > 1 else "small"
                times = "" if size is None else f", {size:.1f} times the spread"
                sorts[sort].append(f"{name} is {row['verdict']} by {number(abs(row['difference']), 4)}{times}")
            else:
                sorts["untold" if row["verdict"] == "cannot be told apart" else "not"].append(name)
    told = []
    if sorts["turns"]:
        told.append(f"Not the same everywhere, so that a mean says little: {'; '.join(sorts['turns'])}.")
    if sorts["large"]:
        told.append(f"Larger than the spread over seeds: {'; '.join(sorts['large'])}.")
    if sorts["small"]:
        told.append(f"There, but smaller than the spread, and seen because runs are paired by seed: {'; '.join(sorts['small'])}.")
    if sorts["unsized"]:
        told.append(f"There: {'; '.join(sorts['unsized'])}.")
    if sorts["untold"]:
        told.append(f"Cannot be told apart from their baseline: {in_words(sorts['untold'])}; that does not make them alike.")
    if sorts["not"]:
        told.append(f"Not compared, for want of runs: {in_words(sorts['not'])}.")
    return " ".join(told)


def _axis(axis: Found, what: str) -> list[Block]:
    parts: list[Block] = [heading(axis["axis"])]
    shown = _compared(axis)
    if shown:
        caption = (
            f"Differences from {axis['baseline']} with 95 % intervals; small marks are single seeds, averaged over all else. "
            "Grey: cannot be told apart."
        )
        parts.append(figure(difference_drawing(shown, f"difference, {what}"), caption, "results/study.json", "/effects/axes"))
    rows: list[list[Cell]] = []
    kinds: dict[int, str] = {}
    for row in axis["rows"]:
        mean = number(row["mean"], 4)
        if row["level"] == axis["baseline"]:
            rows.append([row["level"], "baseline", str(row["runs"]), mean, None, None, None, None])
            continue
        if row["verdict"] in _TOLD:
            kinds[len(rows)] = "told"
        relative = None if row["relative"] is None else signed(100 * row["relative"], 2)
        size = None if row["of_spread"] is None else f"{row['of_spread']:.1f}"
        counts = [str(row["runs"]), mean, difference(ends(row, DIFFERENCE)), relative, size, format_p(row["p_holm"])]
        words = f"{row['verdict']}, on average; {_turns(row)}" if row["turns"] else row["verdict"]
        rows.append([row["level"], words, *counts])
    heads = ("Level", "In words", "Runs", "Mean", "Difference [95 %]", "%", "In spreads over seeds", "p")
    parts.append(table(heads, rows, caption=_spreads(axis), numbers_from=2, kinds=kinds))
    return parts


def _spreads(axis: Found) -> str:
    if axis["spread"] is None:
        return "No two seeds meet at equal levels: nothing tells how much of a difference is chance."
    text = f"The standard deviation over seeds at equal levels is {axis['spread']:.4f}"
    noise = "" if axis["noise"] is None else f"; what is left of it within a block of equal seed and levels is {axis['noise']:.4f}"
    uneven = axis["uneven"]
    if uneven is None:
        return f"{text}{noise}."
    whose = f"{uneven['level']} has {100 * uneven['share']:.0f} % of its squares (p {format_p(uneven['p'])})"
    return f"{text}{noise}. That noise is not the same for all levels: {whose}. So each difference is told by its two levels alone."


def _turns(row: Found) -> str:
    """Say how a difference goes with the levels of another axis."""
    name = row["turns"][0]
    return f"{', '.join(f'{signed(value)} at {level}' for level, value in row['by_other'][name].items())} ({name})"


def _groups(found: Found) -> list[Block]:
    """Return the figures and tables by language and category, behind a line that opens them."""
    parts: list[Block] = []
    for kind, groups in found["by_group"].items():
        for place, axis in enumerate(found["axes"]):
            own = {group: rows for group, of_group in groups.items() if (rows := _compared(of_group[place]))}
            if own:
                parts.append(details(f"{axis['axis']} by {kind}", *_of_groups(own, axis, kind)))
    if parts:
        parts.append(note("By group, p is corrected over the levels of an axis, but not over groups: of many, some err by chance."))
    return parts


def _of_groups(own: Mapping[str, Sequence[Found]], axis: Found, kind: str) -> list[Block]:
    levels = list(dict.fromkeys(row["level"] for rows in own.values() for row in rows))
    parts: list[Block] = []
    if len(levels) <= _MOST_SERIES:
        at = {group: {row["level"]: row for row in rows} for group, rows in own.items()}
        series = {level: [_spread(of_group.get(level)) for of_group in at.values()] for level in levels}
        caption = f"Differences from {axis['baseline']} by {kind}, bits per byte, with 95 % intervals."
        parts.append(figure(dots(list(own), series, "difference, bits per byte"), caption, ""))
    rows: list[list[Cell]] = [
        [group, row["level"], row["verdict"], number(row["mean"], 4), difference(ends(row, DIFFERENCE)), format_p(row["p_holm"])]
        for group, members in own.items()
        for row in members
    ]
    heads = (kind.capitalize(), "Level", "In words", "Mean", "Difference [95 %]", "p")
    return [*parts, table(heads, rows, caption="", numbers_from=3)]


def _spread(row: Found | None) -> Spread | None:
    return None if row is None else (row["difference"], row["low"], row["high"])
