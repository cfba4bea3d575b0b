"""Final metrics of schedules at one length: each against the baseline, and whether the widest difference is within a limit."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from pellucid.evals.paired import LEVEL
from pellucid.studies.effects import Metric, effects_of
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.level_fit import fit_levels, seed_means
from pellucid.studies.results import RunResult
from pellucid.studies.schedules.cells import Cells

__all__ = ["OF_THE_REPORT", "WITHIN", "claim_of", "finals_at", "freedom_of"]

WITHIN = 0.01
OF_THE_REPORT = ("cosine", "hyb", "hyb2")
"""The report: the difference in final loss between these three is under 1 % (Appendix B, Fig. 4)."""


def finals_at(cells: Cells, length: str | None, metric: Metric) -> dict[str, Any]:
    """Return the schedules at one length, as `effects_of` does with only the runs of that length.

    Each row also has `seeds`, those of `values`, and `relative_low` and `relative_high`, the ends of the interval over the
    baseline's mean. `resolved` is half the widest interval of a difference, over that mean: what is smaller cannot be seen.
    `widest` is of the best and the worst schedule, see `_widest`, and `widest_of_report` of those among the report's three.
    """
    runs = cells.at(length)
    found = effects_of(runs, cells.axis, metric, cells.schedules[0] if cells.schedules else None)
    base = next((row["mean"] for row in found["rows"] if row["level"] == found["baseline"]), None)
    reaches = []
    for row in found["rows"]:
        row["seeds"] = [run.seed for run in cells.ended(length, row["level"]) if math.isfinite(metric(run))]
        if row["level"] != found["baseline"]:
            known = base and row["low"] is not None
            row |= {f"relative_{end}": row[end] / base if known else None for end in ("low", "high")}
            reaches += [(row["high"] - row["low"]) / 2 / base] if known else []
    return {
        "length": length,
        "tokens": cells.tokens_at(length),
        **{key: found[key] for key in ("baseline", "rows", "spread", "noise")},
        "resolved": max(reaches, default=None),
        "widest": _widest(runs, cells, metric, found["rows"]),
        "widest_of_report": _widest(
            runs, cells, metric, [row for row in found["rows"] if cells.kind_of(row["level"]) in OF_THE_REPORT]
        ),
    }


def _widest(runs: Sequence[RunResult], cells: Cells, metric: Metric, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the difference between the worst and the best of some schedules at a length; None where no two have a value.

    `best`, `worst`, `difference` (by runs that both have), `relative` to the best's mean, `of_spread` over the spread of seeds. As
    the pair was picked out of all, `p` is Tukey's, of the studentised range, and `low` and `high` are simultaneous over all pairs
    and, by Bonferroni, over the lengths (95 %), relative too. All are None where seeds do not tell how large the noise is.
    """
    known = [row for row in rows if row["mean"] is not None]
    if len(known) < 2:
        return None
    best, worst = min(known, key=lambda row: row["mean"]), max(known, key=lambda row: row["mean"])
    found = effects_of(runs, cells.axis, metric, best["level"])
    row = next(one for one in found["rows"] if one["level"] == worst["level"])
    difference = row.get("difference")
    values: dict[str, Any] = {"best": best["level"], "worst": worst["level"], "difference": difference}
    if difference is None:  # best and worst are one, or have no seed in common
        difference = worst["mean"] - best["mean"]
        row, values = {"stderr": None}, {**values, "difference": difference}
    values["relative"] = difference / best["mean"] if best["mean"] else None
    values["of_spread"] = difference / found["spread"] if found["spread"] else None
    freedom = freedom_of(runs, cells.axis, metric)
    if not row["stderr"] or freedom < 1 or not best["mean"]:
        return {**values, "p": None, "low": None, "high": None}
    reach = _range_quantile(len(known), freedom, 1 - LEVEL / len(cells.lengths)) / math.sqrt(2) * row["stderr"]
    studentized = abs(difference) / row["stderr"] * math.sqrt(2)
    p = float(scipy_part("stats").studentized_range.sf(studentized, len(known), freedom))
    return {**values, "p": p, "low": (difference - reach) / best["mean"], "high": (difference + reach) / best["mean"]}


@cache
def _range_quantile(groups: int, freedom: int, share: float) -> float:
    """Return a quantile of the studentised range, which takes a twentieth of a second."""
    return float(scipy_part("stats").studentized_range.ppf(share, groups, freedom))


def freedom_of(runs: Sequence[RunResult], axis: str, metric: Metric) -> int:
    """Return the degrees of freedom of the noise that `effects_of` estimates: values without those that levels and seeds take."""
    fitted = fit_levels(seed_means(runs, axis, metric))
    return 0 if fitted is None else fitted.fit.freedom


def claim_of(finals: Sequence[dict[str, Any]], key: Literal["widest", "widest_of_report"]) -> dict[str, Any] | None:
    """Return whether schedules end within 1 % of each other at every length given, from what `finals_at` found; None with no two.

    `length` is where the difference is widest, with the `best`, `worst`, `relative`, `low`, `high`, `of_spread` of that place.
    `is_within` is of the differences as they came. `verdict`, of the intervals: "within 1 %" where all of every interval is,
    "beyond 1 %" where none of some interval is, else "cannot be told".
    """
    known = [(one["length"], one[key]) for one in finals if one[key] is not None and one[key]["relative"] is not None]
    if not known:
        return None
    length, widest = max(known, key=lambda at: at[1]["relative"])
    verdict = "cannot be told"
    if any(one["low"] is not None and one["low"] > WITHIN for _, one in known):
        verdict = "beyond 1 %"
    elif all(one["high"] is not None and one["high"] < WITHIN for _, one in known):
        verdict = "within 1 %"
    told = {name: widest[name] for name in ("best", "worst", "relative", "low", "high", "of_spread")}
    return {"limit": WITHIN, "length": length, **told, "is_within": widest["relative"] < WITHIN, "verdict": verdict}
