"""Continued pretraining: what is forgotten and learnt when a later stage goes on with other text, and by what way of going on.

The stage of `config.stage` begins with the weights of the stage before and a fresh optimizer. Its learning rate is warmed up again
(Gupta et al. 2023, arXiv 2308.04014), and old text may be replayed (Ibrahim et al. 2024, arXiv 2403.08763); three remedies for the
stability gap choose the new text (Guo et al. 2024, arXiv 2406.14833).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pellucid.recipe.study import CompareConfig, ContinuedAnalysis
from pellucid.studies.continued.findings import findings_of
from pellucid.studies.continued.gap import Curve, Group, curve_of, gap_of_level, groups_of, mean_interval, stability_gap, text_of
from pellucid.studies.continued.tradeoff import tradeoff_of
from pellucid.studies.continued.ways import contrasts_of, final_score, way_rows
from pellucid.studies.effects import Metric, effects_of
from pellucid.studies.results import RunResult, by_level

__all__ = ["analyse_continued"]


def analyse_continued(runs: Sequence[RunResult], config: ContinuedAnalysis, compare: CompareConfig) -> dict[str, Any]:
    """Return what continuing did to old and new text, way by way. All values are of held-out text, in bits per byte.

    - `stage`, `factor`: as asked; `baseline`: the first level, the plain way. Where no axis is called `factor`, a way is one
      combination of all axes, its levels joined by "-".
    - `old`, `new`: sources that some point of the stage has text of; `notes`: what is missing, in short sentences.
    - `ways`: a row for each level, see `continued.ways.way_rows`.
    - `curves`: by level and group (old, new, categories): `level`, `group`, `kind`, `side`, `runs`, `tokens` of the stage, and one
      value for each: `mean`, `low`, `high` over runs, and of the change since the start `change`, `change_low`, `change_high`
      (None with one run).
    - `gaps`: by level and group (also each source): `level`, `group`, `kind`, `side`, what `continued.gap.gap_of_level` gives, and
      `text`: how many `documents` and `bytes` the points are of, the least and the greatest over runs.
    - `effects`: each level against the baseline (`effects_of`) by `old_end` and `new_end` (the final scores of all held-out text),
      and of the points on the way `forgotten` (old, end - start), `new_change` (new, end - start: below 0 is learnt), `dip` (old).
    - `tradeoff`: old text against new text at the end, by `old_end` and `new_end`, see `continued.tradeoff.tradeoff_of`.
    - `contrasts`: effects of re-warm peak, re-warm length, replay and choice of text, on any axis, see
      `continued.ways.contrasts_of`; metrics are `forgotten`, `new_change`, `dip`.
    - `findings`: claims of the papers, see `continued.findings.findings_of`.

    `compare` chooses nothing here: the analysis is of held-out text, and its intervals are not resampled.
    """
    axes = list(dict.fromkeys(axis for run in runs for axis in run.levels))
    ways = (
        list(runs) if config.factor in axes else [replace(run, levels={**run.levels, config.factor: _joined(run)}) for run in runs]
    )
    levels = list(by_level(ways, config.factor))
    groups = groups_of(ways, config)
    done = [run for run in ways if run.outcome == "done"]
    of_run = {group: _curves(done, config, group) for group in groups}
    own = {level: [run.name for run in done if run.levels.get(config.factor) == level] for level in levels}
    of_level = {
        (level, group): {name: of_run[group][name] for name in own[level] if name in of_run[group]}
        for level in levels
        for group in groups
    }
    by_name = {group.name: group for group in groups if group.kind in ("old", "new")}
    gaps = [
        {
            "level": level,
            "group": group.name,
            "kind": group.kind,
            "side": group.side,
            "text": text_of([run for run in done if run.name in curves], config.stage, group),
            **gap_of_level(curves),
        }
        for (level, group), curves in of_level.items()
        if curves
    ]
    by_points = {name: of_run[group] for name, group in by_name.items()}
    metrics, recovery = _metrics(by_points), _metric(by_points, "old", "recovery_tokens")
    contrasts = contrasts_of(runs, axes, config, metrics)
    plain = {gap["kind"]: gap for gap in gaps if gap["kind"] in ("old", "new") and gap["level"] == levels[0]}
    ends: dict[str, Metric] = {"old_end": final_score(config.old), "new_end": final_score(config.new), **metrics}
    return {
        "stage": config.stage,
        "factor": config.factor,
        "baseline": levels[0] if levels else None,
        "old": [group.name for group in groups if group.kind == "source" and group.side == "old"],
        "new": [group.name for group in groups if group.kind == "source" and group.side == "new"],
        "notes": _notes(ways, config, own, by_points),
        "ways": way_rows(ways, config.factor, config),
        "curves": [
            {"level": level, "group": group.name, "kind": group.kind, "side": group.side, **_band(list(curves.values()))}
            for (level, group), curves in of_level.items()
            if curves and group.kind != "source"
        ],
        "gaps": gaps,
        "effects": {name: effects_of(ways, config.factor, metric) for name, metric in ends.items()},
        "tradeoff": tradeoff_of(ways, config.factor, ends["old_end"], ends["new_end"]),
        "contrasts": contrasts,
        "findings": findings_of(runs, plain, contrasts, {**metrics, "recovery": recovery}, config),
    }


def _joined(run: RunResult) -> str:
    return "-".join(run.levels.values()) or "all"


def _curves(runs: Sequence[RunResult], config: ContinuedAnalysis, group: Group) -> dict[str, Curve]:
    found = {run.name: curve_of(run, config.stage, group) for run in runs}
    return {name: curve for name, curve in found.items() if curve is not None}


def _metrics(curves: Mapping[str, Mapping[str, Curve]]) -> dict[str, Metric]:
    """Return metrics of what was forgotten, how new text changed, and the dip, by the runs' points."""
    keys = {"forgotten": ("old", "forgotten"), "new_change": ("new", "forgotten"), "dip": ("old", "dip")}
    return {name: _metric(curves, *key) for name, key in keys.items()}


def _metric(curves: Mapping[str, Mapping[str, Curve]], group: str, key: str) -> Metric:
    gaps = {name: stability_gap(curve)[key] for name, curve in curves.get(group, {}).items()}
    values = {name: float(value) for name, value in gaps.items() if value is not None}
    return lambda run: values.get(run.name, math.nan)


def _band(curves: Sequence[Curve]) -> dict[str, Any]:
    """Return a level's mean curve with its intervals, at the tokens that all its runs have."""
    shared = set(curves[0].tokens).intersection(*(curve.tokens for curve in curves))
    tokens = [at for at in curves[0].tokens if at in shared]
    at_tokens = [dict(zip(curve.tokens, curve.values, strict=True)) for curve in curves]
    values = [mean_interval([at[place] for at in at_tokens]) for place in tokens]
    changes = [mean_interval([at[place] - at[0] for at in at_tokens]) for place in tokens]
    names = ("mean", "low", "high")
    return {
        "runs": len(curves),
        "tokens": tokens,
        **{name: [value[name] for value in values] for name in names},
        **{f"change_{name}".removesuffix("_mean"): [change[name] for change in changes] for name in names},
    }


def _notes(
    runs: Sequence[RunResult],
    config: ContinuedAnalysis,
    own: Mapping[str, Sequence[str]],
    curves: Mapping[str, Mapping[str, Curve]],
) -> list[str]:
    notes = []
    if other := [run.name for run in runs if run.outcome != "done"]:
        notes.append(f"Left out, as they did not come to their length: {', '.join(other)}.")
    if not any(point.stage == config.stage for run in runs for point in run.points):
        notes.append(f"No run has points of the stage {config.stage!r}: its `curves` must ask for perplexity.")
        return notes
    lacking = [
        run.name for run in runs if run.outcome == "done" and any(run.name not in curves.get(side, {}) for side in ("old", "new"))
    ]
    if lacking:
        notes.append(
            f"Left out but at the end, as old or new text lacks a point before the first step or after: {', '.join(lacking)}."
        )
    if single := [level for level, names in own.items() if len(names) == 1]:
        notes.append(f"One run only, so nothing can be said of how sure it is: {', '.join(single)}.")
    if nothing := [level for level, names in own.items() if not names]:
        notes.append(f"No run came to its length: {', '.join(nothing)}.")
    if len(own) == 1:
        notes.append("There is one way only, so nothing to compare it with.")
    return notes
