"""A study's section about a ladder of sizes: the law of its lower rungs, and the forecast of those above beside what came."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.excerpt import in_words
from pellucid.core.scores import MINUS
from pellucid.core.units import format_count
from pellucid.report.blocks import Block, Cell, Section
from pellucid.report.markup import figure, heading, note, paragraph, section, table
from pellucid.report.study.metrics import METRICS
from pellucid.report.study.numbers import DIFFERENCE, ends, interval, signed, yes_no
from pellucid.report.study.scaling_figure import ladder_drawing
from pellucid.report.study.scaling_groups import group_tables

__all__ = ["scaling_section"]

Found = Mapping[str, Any]

_STEPS = ("Step", "In words", "Difference [95 %]", "In spreads over seeds")
_PRINTED: tuple[tuple[Cell, ...], ...] = (
    ("a of parameters, printed by Hoffmann et al. 2022 (arXiv 2203.15556)", "0.34", None, None),
    ("b of tokens, printed there", "0.28", None, None),
    ("a of parameters, printed by Besiroglu et al. 2024 (arXiv 2404.10102) for the same runs", "0.35", None, None),
    ("b of tokens, printed there", "0.37", None, None),
    ("a of compute, printed by Kaplan et al. 2020 (arXiv 2001.08361), without a floor", "0.050", None, None),
)


def scaling_section(found: Found) -> Section:
    """Return the section of what `analyse_scaling` found; raise `MissingExtraError` without matplotlib."""
    rungs = found["rungs"]
    if not rungs:
        return section(
            "scaling", "A ladder of sizes", paragraph("No run is of a rung whose size is known."), *map(note, found["notes"])
        )
    what = METRICS[found["metric"]]
    ends = [format_count(rungs[place]["parameters"]) for place in (0, -1)]
    forecast = [one["rung"] for one in found["forecasts"]]
    text = f"{len(rungs)} rungs of {ends[0]} to {ends[1]} parameters, compared by {what}, of which less is better."
    if found["law"] is not None and forecast:
        text += f" The law is fitted to {in_words(found['law']['rungs'])}, and forecasts {in_words(forecast)}."
    parts: list[Block] = [paragraph(text), *(paragraph(_answer(one)) for one in found["forecasts"])]
    if any(rung["mean"] is not None for rung in rungs):
        caption = "Loss over compute, both by logs. The band is what 95 % of runs of new seeds are expected in, if the law holds."
        parts.append(figure(ladder_drawing(found, what), caption, "results/study.json", "/scaling"))
    parts += [*map(note, found["notes"]), _rungs(found), *_forecasts(found), *_law(found), *_steps(found)]
    return section("scaling", "A ladder of sizes", *parts, *group_tables(found), *_optimum(found))


def _answer(one: Found) -> str:
    """Say in a sentence what was forecast of a rung and what came."""
    if one["value"] is None:
        return f"{one['rung']}: no law, no forecast."
    said = f"{one['rung']}, {one['beyond']:.2g} times the compute of the largest fitted rung, was forecast at "
    said += f"{interval(ends(one))}."
    if one["state"] != "run":
        return f"{said} It has {'not been run' if one['state'] == 'not run' else 'no run that can be compared'}."
    side = "high" if one["error_percent"] > 0 else "low"
    said += (
        f" The mean of its {one['runs']} runs is {one['came']:.3f}: the forecast was {abs(one['error_percent']):.2f} % too {side}"
    )
    if one["inside"] is None:
        return f"{said}; how sure it was is not known."
    single = f"{one['runs_inside']} of {one['runs']} single runs do"
    return f"{said}. What came lies {'inside' if one['inside'] else 'outside'} the interval; {single}."


def _rungs(found: Found) -> Block:
    rows: list[list[Cell]] = []
    for rung in found["rungs"]:
        inner = rung["parameters_without_embedding"]
        rows.append(
            [
                f"{rung['rung']}, forecast" if rung["is_forecast"] else rung["rung"],
                format_count(rung["parameters"]),
                None if inner is None else format_count(inner),
                format_count(rung["tokens"]),
                f"{rung['tokens_per_parameter']:.3g}",
                f"{rung['flops']:.3g}",
                str(rung["runs"]),
                None if rung["mean"] is None else f"{rung['mean']:.4f}",
                None if rung["stdev"] is None else f"{rung['stdev']:.4f}",
                None if rung["law"] is None else f"{rung['law']:.4f}",
                signed(rung["off_law_percent"], 2),
            ]
        )
    by = "6 · parameters · tokens" if found["flops_by"] == "6ND" else "matrix products and attention, embedding looked up"
    sizes = ("Rung", "Parameters", "Without embedding and head", "Tokens", "Per parameter", "FLOPs")
    heads = (*sizes, "Runs", "Mean", "Spread over seeds", "Law", "Mean off law, %")
    return table(heads, rows, caption=f"The ladder. FLOPs: {by}. The spread is a standard deviation.")


def _forecasts(found: Found) -> list[Block]:
    rows: list[list[Cell]] = []
    for one in found["forecasts"]:
        if one["value"] is None:
            continue
        came = "not run" if one["state"] == "not run" else None if one["came"] is None else f"{one['came']:.4f}"
        told = interval(ends(one))
        rows.append([one["rung"], "the law", told, came, signed(one["error_percent"], 2), yes_no(one["inside"])])
        alone = interval(ends(one, ("value", "law_low", "law_high")))
        rows.append([one["rung"], "the law, without the spread of new runs", alone, came, signed(one["error_percent"], 2), None])
        for peer in one["peers"]:
            name = {"last rung": "the largest fitted rung's mean"}.get(peer["name"], f"a {peer['name']}, no floor")
            rows.append([one["rung"], name, f"{peer['value']:.3f}", came, signed(peer["error_percent"], 2), None])
    if not rows:
        return []
    heads = ("Rung", "Forecast by", "Forecast [95 %]", "Came", "Error, %", "Inside")
    caption = "Forecasts of rungs that the law is not fitted to, beside two that need no law. Errors are forecast less what came."
    return [heading("Forecast"), table(heads, rows, caption=caption, numbers_from=2)]


def _law(found: Found) -> list[Block]:
    law = found["law"]
    if law is None:
        return []
    rows: list[list[Cell]] = []
    for row in law["parameters"]:
        ends = None if row["low"] is None else f"{row['low']:.3g} to {row['high']:.3g}"
        share = None if row["at_bound_share"] is None else f"{100 * row['at_bound_share']:.0f} %"
        at = (
            f"{'at its least' if row['at_bound'] == 'least' else 'at its greatest'}; {share}"
            if row["at_bound"] and share
            else share
        )
        rows.append([row["name"], f"{row['value']:.3g}", ends, at])
    ours = len(rows)
    kinds = {number: "printed first" if number == ours else "printed" for number in range(ours, ours + len(_PRINTED))}
    rows += map(list, _PRINTED)
    caption = f"Parameters of {law['formula'].replace('-', MINUS)}. At a bound: the share of resampled fits that end at one."
    text = f"{law['why']} Huber's loss of logs with delta {law['huber_delta']:g}, {law['runs']} runs."
    if law["resamples"]:
        text += f" Resampled {law['resamples']} times: {law['resampled']}."
    printed = (
        "Printed exponents are of models thousands of times as large, of other text and other tokens; floors and factors cannot be "
        "set beside these at all. Where tokens go with parameters, compute goes with their square: an exponent of compute is about "
        "half of one of parameters."
    )
    heads = ("Parameter", "Value", "95 %", "At a bound")
    return [heading("The law"), paragraph(text), table(heads, rows, caption=caption, kinds=kinds), note(printed)]


def _steps(found: Found) -> list[Block]:
    rows: list[list[Cell]] = [
        [
            f"{step['from']} to {step['to']}",
            _told(step),
            interval(ends(step, DIFFERENCE)),
            None if step["of_spread"] is None else f"{step['of_spread']:.1f}",
        ]
        for step in found["steps"]
    ]
    if not rows:
        return []
    caption = "From rung to rung, with intervals by the spread over seeds of all rungs."
    if found["spread"] is not None:
        caption += f" That spread, a standard deviation, is {found['spread']:.4f}."
    return [heading("Steps and seeds"), table(_STEPS, rows, caption=caption, numbers_from=2)]


def _told(step: Found) -> str:
    if step["low"] is None:
        return "not known"
    return "better" if step["high"] < 0 else "worse" if step["low"] > 0 else "cannot be told apart"


def _optimum(found: Found) -> list[Block]:
    best = found["optimum"]
    if best is None:
        text = (
            "How compute is best divided between parameters and tokens cannot be read from this ladder: that needs runs in which "
            "the two vary by themselves."
        )
        return [note(text)] if found["law"] is not None else []
    names = {
        "parameters": "Parameters",
        "tokens": "Tokens",
        "tokens_per_parameter": "Tokens per parameter",
        "parameters_exponent": "Power of compute that parameters grow with",
        "tokens_exponent": "Power of compute that tokens grow with",
    }
    rows: list[list[Cell]] = []
    for key, name in names.items():
        value, ends = best[key], (best[key]["low"], best[key]["high"])
        told = None if ends[0] is None else f"{ends[0]:.3g} to {ends[1]:.3g}"
        rows.append([name, f"{value['value']:.3g}", told])
    caption = f"What {best['flops']:.3g} FLOPs are best spent on by the law, with 6 FLOPs a parameter and token."
    return [heading("Compute-optimal"), table(("", "Best", "95 %"), rows, caption=caption)]
