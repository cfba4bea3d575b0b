"""Data mixes (Stable LM 2 report, Appendix A): what each mix does to each group of text, what parts are worth, a law."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pellucid.evals.paired import holm, verdict
from pellucid.plan.printed_mixes import printed_mixes
from pellucid.recipe.study import CompareConfig, MixesAnalysis
from pellucid.studies.effects import Metric, effects_of
from pellucid.studies.mixes.findings import findings_of
from pellucid.studies.mixes.forecasts import forecast_mixes
from pellucid.studies.mixes.shares import NO_ROW, knows_sources, label_by, level_shares
from pellucid.studies.mixes.tables import Group, english_groups, groups_of, table_of
from pellucid.studies.results import RunResult, by_level, pooled

__all__ = ["UPSAMPLE", "analyse_mixes"]

UPSAMPLE = "upsample"
"""Axis whose levels have more of a domain in the last part of training (arXiv 2406.03476)."""
_ALL, _WITHOUT = "all", "no-"
"""Levels of an axis with `leave_out`."""
_BASELINES = ("control", _ALL, "none")


def analyse_mixes(runs: Sequence[RunResult], config: MixesAnalysis, compare: CompareConfig) -> dict[str, Any]:
    """Return what the mixes of a study do, as plain values. Scores are bits per byte of held-out text: less is better.

    - `axis`, `baseline`, `levels`, `seeds`: levels in order of appearance; the baseline is `control`, `all`, `none` or the first.
    - `left_out`: `run`, `outcome` and `message` of each run of the axis that does not count. `notes`: sentences.
    - `shares`: `by` (row of Table 9, category or source) and `names` of what text was made of; by level `shares` as the runs read
      it (its stages by their tokens), and for mixes of the report `printed` weights and their `printed_sum`. None without runs.
    - `scores`: by kind (`all`, `language`, `category`, and `english`: English text by category, where sources are known) a list of
      groups: `group`, `bytes`, `documents`, and what `effects.effects_of` says: `rows` by level with `mean`, `values` and their
      `seeds`, `difference`, `low`, `high`, `p`, `p_holm`, `verdict`; `spread`, `noise`. p is corrected over all groups and levels
      of a kind together.
    - `findings`: those of the report, see `mix_findings.findings_of`; empty where the levels are not its mixes.
    - `value`: of an axis with `leave_out`, what text loses without each part: `name`, `share` in `all`, and `overall`, `own` (its
      own text) and `others` (all but its own), each with `difference`, `low`, `high`, `p_holm`, `verdict`, or None. Else empty.
    - `law`: see `mix_forecasts.forecast_mixes`; None where it is not asked for.
    - `upsample`: `axis`, `baseline`, `shares` and `scores` likewise for an axis of that name; None without one, and where it is
      the one that is asked for.

    Raises `MissingExtraError` without scipy.
    """
    own = [run for run in runs if config.mix in run.levels]
    levels = list(by_level(own, config.mix))
    baseline = _baseline(levels)
    left_out = [run for run in own if not run.is_comparable]
    notes = [f"{run.name} does not count: {run.outcome}." for run in left_out]
    if not own:
        notes.append(f"No run has an axis {config.mix!r}.")
    elif len(levels) < 2:
        notes.append(f"The axis {config.mix!r} has one level: there is nothing to compare.")
    seeds = list(dict.fromkeys(run.seed for run in own))
    if len(seeds) == 1:
        notes.append("One seed: differences have no interval.")
    comparable = [run for run in own if run.is_comparable]
    if comparable and not knows_sources(comparable):
        notes.append("The category and language of sources are not known: English text by category is left out.")
    scores = _scores(own, config.mix, baseline)
    law = None
    if config.law and comparable:
        groups = [group for kind in ("all", "language", "category") for group in groups_of(comparable, kind)]
        law = forecast_mixes(own, config.mix, groups, config.forecast, compare.seed)
    return {
        "axis": config.mix,
        "baseline": baseline,
        "levels": levels,
        "seeds": seeds,
        "left_out": [{"run": run.name, "outcome": run.outcome, "message": run.message} for run in left_out],
        "notes": notes,
        "shares": _shares(comparable, config.mix),
        "scores": scores,
        "findings": findings_of(own, config.mix, scores.get("language", [])) if comparable else [],
        "value": _value(own, config.mix, baseline),
        "law": law,
        "upsample": None if config.mix == UPSAMPLE else _upsample(runs),
    }


def _baseline(levels: Sequence[str]) -> str | None:
    return next((one for one in _BASELINES if one in levels), levels[0] if levels else None)


def _scores(runs: Sequence[RunResult], axis: str, baseline: str | None) -> dict[str, list[dict[str, Any]]]:
    groups = {kind: groups_of(runs, kind) for kind in ("all", "language", "category")} | {"english": english_groups(runs)}
    return {kind: table_of(runs, axis, of, baseline) for kind, of in groups.items() if of}


def _shares(runs: Sequence[RunResult], axis: str) -> dict[str, Any] | None:
    """Return what text was made of, by level: in rows of Table 9 for its mixes, else by category, or source where that is all."""
    sources: dict[str, Mapping[str, str | None]] = {name: of for run in runs for name, of in run.sources.items()}
    levels = list(by_level(runs, axis))
    printed = printed_mixes()
    of_report = bool(levels) and set(levels) <= set(printed.mixes)
    by = "source" if not knows_sources(runs) else "row" if of_report else "category"
    shares = level_shares(runs, axis, label_by(sources, by))
    if not shares:
        return None
    read = {name for of in shares.values() for name, share in of.items() if share > 0}
    order = [*(row.name for row in printed.rows), NO_ROW] if by == "row" else sorted(read)
    names = [name for name in order if name in read]
    rows = []
    for level, of in shares.items():
        weights = printed.weights_of(level) if of_report else None
        total = None if weights is None else round(sum(weights.values()), 6)
        row = {"level": level, "shares": {name: of[name] for name in names}, "printed": weights, "printed_sum": total}
        rows.append(row)
    return {"by": by, "names": names, "levels": rows}


def _value(runs: Sequence[RunResult], axis: str, baseline: str | None) -> list[dict[str, Any]]:
    """Return what text loses without each category or source. p is corrected over the parts, for each of the columns by itself."""
    names = [level.removeprefix(_WITHOUT) for level in by_level(runs, axis) if level.startswith(_WITHOUT)]
    if baseline != _ALL or not names:
        return []
    comparable = [run for run in runs if run.is_comparable]
    categories = {group for run in comparable for group in (run.table or {}).get("category", {})}
    kind = "category" if set(names) <= categories else "source"
    sources = {name: of for run in comparable for name, of in run.sources.items()}
    shares = level_shares(comparable, axis, label_by(sources, kind)).get(_ALL, {})
    columns: dict[str, Callable[[str], Metric]] = {
        "overall": lambda name: RunResult.bits_per_byte,
        "own": lambda name: Group(kind, name).bits,
        "others": lambda name: partial(_bits_without, kind, name),
    }
    found: list[dict[str, Any]] = [{"name": name, "share": shares.get(name)} for name in names]
    for column, metric_of in columns.items():
        rows = [_row(runs, axis, f"{_WITHOUT}{name}", metric_of(name)) for name in names]
        for one, row, p in zip(found, rows, holm([row["p"] for row in rows]), strict=True):
            told = {key: row[key] for key in ("difference", "low", "high")}
            one[column] = told | {"p_holm": p, "verdict": verdict(row["difference"], p, "bits_per_byte")}
    return found


def _row(runs: Sequence[RunResult], axis: str, level: str, metric: Metric) -> dict[str, Any]:
    return next(row for row in effects_of(runs, axis, metric, _ALL)["rows"] if row["level"] == level)


def _bits_without(kind: str, name: str, run: RunResult) -> float:
    """Return bits per byte of all text but one category's or source's."""
    of_kind = (run.table or {}).get(kind, {})
    return pooled(scores for group, scores in of_kind.items() if group != name).bits_per_byte


def _upsample(runs: Sequence[RunResult]) -> dict[str, Any] | None:
    own = [run for run in runs if UPSAMPLE in run.levels]
    if not own:
        return None
    baseline = _baseline(list(by_level(own, UPSAMPLE)))
    shares = _shares([run for run in own if run.is_comparable], UPSAMPLE)
    return {"axis": UPSAMPLE, "baseline": baseline, "shares": shares, "scores": _scores(own, UPSAMPLE, baseline)}
