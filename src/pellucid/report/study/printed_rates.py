"""The part of a study's page about the average learning rates that the Stable LM 2 report prints: which settings give them."""

from collections.abc import Mapping
from typing import Any

from pellucid.plan.notes import spaced
from pellucid.report.blocks import Block, Cell
from pellucid.report.markup import details, heading, note, paragraph, table
from pellucid.report.study.numbers import rate, signed

__all__ = ["printed_rates"]

_SIMPLEST_PEAK = 3e-4  # with which a cosine to 0 has the printed mean
_COUNTED = {
    "rest": "i from the end of warm-up, N the steps after it",
    "whole": "i from the end of warm-up, N all steps",
    "first update": "i from the first update, N all steps",
}


def printed_rates(found: Mapping[str, Any]) -> list[Block]:
    """Return a heading, the printed averages beside those of settings, and what the search found."""
    kinds = list(found["printed"])
    printed = [rate(one["value"], 2 if one["half_digit"] > 1e-6 else 3) for one in found["printed"].values()]
    rows: list[list[Cell]] = []
    for row in found["settings"]:
        shares = [f"{100 * row[key]:g} %" for key in ("min_frac", "warmup_frac", "cooldown_frac")]
        means: list[Cell] = [_mean(row["means"][kind]) for kind in kinds]
        rows.append([row["name"], rate(row["peak_lr"]), *shares, *means, "all three" if row["fit"] else "not all"])
    rows.append(["the report, as printed", None, None, None, None, *printed, None])
    heads = ("Setting", "Peak", "Hybrids' minimum", "Warm-up", "Cool-down", *kinds, "Rounds to print")
    caption = (
        "Average rates, in brackets their difference to the print where they do not round to it. Minimum in shares of the peak, "
        "warm-up and cool-down of the run; cosine falls to 0 and is not cooled down."
    )
    parts = [table(heads, rows, caption=caption, kinds={len(rows) - 1: "printed first"}), *_search(found["search"])]
    text = (
        "Appendix B of the report prints average rates and not the settings that they come of: it only says that rates fall to 0, "
        "and that rsqrt cools down over the last 10 % of the steps. Averages here are closed forms, checked by summing the rates."
    )
    return [heading("The report's average rates"), paragraph(text), *parts]


def _mean(one: Mapping[str, Any]) -> str:
    return rate(one["closed"], 4) + ("" if one["rounds"] else f" ({signed(100 * one['off'], 1)} %)")


def _search(search: Mapping[str, Any]) -> list[Block]:
    fits = search["as_text"]
    told = "None of these has minimum 0 and a cool-down of 10 %."
    if fits["fitting"]:
        ends = f"{rate(fits['peak_low'], 4)} to {rate(fits['peak_high'], 4)}"
        told = f"{fits['fitting']} of these have minimum 0 and a cool-down of 10 %, with peaks from {ends}"
        told += "; a peak of 3e-4, the simplest, is not among them." if fits["peak_high"] < _SIMPLEST_PEAK else "."
    text = (
        f"Looked through: {spaced(search['looked_at'])} combinations of minimum (0 to 10 % of the peak, of the hybrids or of all), "
        "warm-up (0 to 10 %), cool-down (0 to 30 %), three ways to count i and N, and averages with and without warm-up. With some "
        f"peak, {spaced(search['fitting'])} round to all three printed figures. {told} So the print leaves open which it was."
    )
    peaks = "; ".join(f"{rate(one['peak_lr'], 2)}: {one['fitting']}" for one in search["by_peak"])
    parts: list[Block] = [paragraph(text), note(f"How many fit at each peak of two digits: {peaks or 'none'}.")]
    rows: list[list[Cell]] = []
    for one in search["nearest"]:
        shares = [f"{100 * one[key]:g} %" for key in ("warmup_frac", "cooldown_frac")]
        ends = f"{rate(one['peak_low'], 4)} to {rate(one['peak_high'], 4)}"
        rows.append([*shares, _COUNTED[one["counted"]], "all" if one["is_warmup_counted"] else "after warm-up", ends])
    if rows:
        caption = "Settings that fit with a peak of 3e-4 and minimum 0, those first whose cool-down is nearest to 10 %."
        columns = ("Warm-up", "Cool-down", "Counted", "Averaged over", "Peaks that fit")
        parts.append(details("Settings that fit", table(columns, rows, caption=caption, numbers_from=4)))
    return parts
