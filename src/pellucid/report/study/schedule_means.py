"""Whether what schedules end with goes with their mean rate: correlations, a line, and what these can and cannot say."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.scores import format_p
from pellucid.report.blocks import Block, Cell, Figure
from pellucid.report.figures import curves
from pellucid.report.markup import figure, heading, paragraph, table
from pellucid.report.study.numbers import DIFFERENCE, difference, ends, length_name, number, percents, rate

__all__ = ["schedule_means"]

Found = Mapping[str, Any]


def schedule_means(found: Found) -> list[Block]:
    """Return the part; nothing where no two schedules have a value at one length."""
    if not any(at["nearest"] for at in found["by_mean"]):
        return []
    tables = [_correlations(found), *_line(found), _nearest(found)]
    return [heading("Does the end go with the mean rate?"), _conjecture(found), *_drawn(found), *tables]


def _conjecture(found: Found) -> Block:
    known = [at for at in found["by_mean"] if at["nearest"]]
    counts = sorted({len(at["points"]) for at in known})
    rests = f"Here it rests on {' or '.join(map(str, counts))} schedules at each length"
    least = [at["least_p"] for at in known if at["least_p"]]
    if least:
        rests += f", of which no order has a p below {format_p(min(least))}"
    ratio = min((at["nearest"]["ratio"] for at in known), key=lambda ratio: max(ratio, 1 / ratio))
    apart = 100 * (max(ratio, 1 / ratio) - 1)
    return paragraph(
        "The report conjectures that schedules of equal mean rate make equivalent models, and puts what hyb and hyb₂ differ in "
        f"down to their means. {rests}. The nearest means are {apart:.1f} % apart, so equal ones are not put to the test. "
        f"Schedules differ in more than their mean, so a correlation would not show that the mean is the cause.{_peak(found)}"
    )


def _peak(found: Found) -> str:
    """What a common peak leaves open; nothing where peaks differ."""
    if found["common_peak"] is None:
        return ""
    return (
        f" All have one peak rate, {rate(found['common_peak'])}, which was not tuned for each: where a higher mean ends better, "
        "this peak may only have been too low."
    )


def _drawn(found: Found) -> list[Figure]:
    """Draw differences to the baseline over mean rates, a line for each length."""
    lines, bands = {}, {}
    for at, means in zip(found["finals"], found["by_mean"], strict=True):
        rates = {one["schedule"]: one["mean_rate"] for one in means["points"]}
        if at["baseline"] not in rates:
            continue
        known = {row["level"]: percents(row) for row in at["rows"]} | {at["baseline"]: (0.0, 0.0, 0.0)}
        base = rates[at["baseline"]]
        points = sorted((rates[name] / base, spread) for name, spread in known.items() if spread is not None and name in rates)
        if len(points) > 1:
            name = length_name(at["length"])
            lines[name] = ([x for x, _ in points], [spread[0] for _, spread in points])
            ends = [(low, high) for _, (_, low, high) in points if low is not None and high is not None]
            if len(ends) == len(points):
                bands[name] = ends
    caption = f"Difference to {found['baseline']} over the mean rate, with 95 % intervals, a line for each length."
    label = f"mean rate over that of {found['baseline']}"
    return [figure(curves(lines, label, "difference, %", bands=bands), caption, "")] if lines else []


def _correlations(found: Found) -> Block:
    rows: list[list[Cell]] = []
    for at in found["by_mean"]:
        seeds = " · ".join(number(one["spearman"], 2) for one in at["by_seed"])
        ranks = [number(at["spearman"], 2), format_p(at["p"]), seeds or None, number(at["pearson"], 2)]
        rows.append([length_name(at["length"]), str(len(at["points"])), *ranks, at["verdict"]])
    heads = ("Length", "Schedules", "Rank correlation", "p", "By seed", "Linear correlation", "In words")
    return table(heads, rows, caption="How final values go with the planned mean rate, over schedules.", numbers_from=1)


def _line(found: Found) -> list[Block]:
    rows: list[list[Cell]] = []
    for at in found["by_mean"]:
        if at["slope"] is not None:
            beyond = at["beyond"] or {"p": None, "verdict": "not compared"}
            slope = difference(ends(at["slope"]))
            rows.append([length_name(at["length"]), slope, format_p(at["slope"]["p"]), format_p(beyond["p"]), beyond["verdict"]])
    caption = (
        "A straight line in the mean rate. Slope: change of the final value when the rate grows by the baseline's. Schedules are "
        "its points, so interval and p are of their scatter about the line, or of the noise of seeds where that is more, with as "
        "many degrees of freedom as schedules less two. Beyond the line: whether schedules differ in more than it explains, an F "
        "test with what seeds leave as noise."
    )
    heads = ("Length", "Slope [95 %]", "p", "p beyond the line", "Beyond the line")
    return [table(heads, rows, caption=caption)] if rows else []


def _nearest(found: Found) -> Block:
    rows: list[list[Cell]] = []
    for at in found["by_mean"]:
        if at["nearest"] is not None:
            one = at["nearest"]
            told = [f"{one['b']} over {one['a']}", f"{one['ratio']:.3f}", difference(ends(one, DIFFERENCE))]
            rows.append([length_name(at["length"]), *told])
    caption = "The two schedules whose mean rates are nearest, and what they end with."
    return table(("Length", "Pair", "Ratio of means", "Difference [95 %]"), rows, caption=caption, numbers_from=2)
