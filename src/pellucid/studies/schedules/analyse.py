"""Learning-rate schedules (Stable LM 2 report, Appendix B, Fig. 4): rates and losses by schedule, what a trunk saves."""

from collections.abc import Sequence
from typing import Any

from pellucid.optim.schedules import learning_rate
from pellucid.recipe.study import CompareConfig, SchedulesAnalysis
from pellucid.recipe.training import ScheduleConfig
from pellucid.studies.results import RunResult, Stage
from pellucid.studies.schedules.by_mean import by_mean_at
from pellucid.studies.schedules.cells import Cells, cells_of, last_stage, planned_tokens
from pellucid.studies.schedules.curves import loss_row, mean_row, rate_row
from pellucid.studies.schedules.finals import claim_of, finals_at
from pellucid.studies.schedules.printed_means import printed_means
from pellucid.studies.schedules.turns import common_peak, not_turned

__all__ = ["analyse_schedules"]

Row = dict[str, Any]


def analyse_schedules(runs: Sequence[RunResult], config: SchedulesAnalysis, compare: CompareConfig) -> dict[str, Any]:
    """Return what the study says of schedules. Only runs that came to their length count; `notes` name the others.

    - `metric`, `loss_steps`: what ends are compared by. `schedules` in order of appearance, their `kinds` (cosine, hyb, …; None
      where nothing was trained); `baseline` is the first. `lengths` from the shortest (`length`, None without such an axis;
      `tokens`); `longest`. `seeds`.
    - `rates`: rows of `schedule_curves.rate_row` (rates by step, planned and used) at the longest length, and for trunk and
      baseline at every length. `means`: rows of `schedule_curves.mean_row` for every schedule and length.
    - `losses`: rows of `schedule_curves.loss_row` (smoothed training loss over tokens with the spread of seeds), as `rates`.
    - `finals`: for each length what `schedule_finals.finals_at` says: values by seed, means, differences to the baseline with
      intervals and verdicts, absolute and relative. `claim`: whether all are within 1 %; `claim_of_report`: whether cosine, hyb
      and hyb2 are, as the report says; see `schedule_finals.claim_of`. `judged_at`: the lengths that both are judged at. With a
      trunk it is the longest alone: shorter runs have the curve of the longest, not one of their own length.
    - `not_turned`: which hybrids are cooled down before they leave their cosine, and where, see `turns.not_turned`. `common_peak`:
      the peak rate where all schedules have the same, else None.
    - `by_mean`: for each length what `schedule_by_mean.by_mean_at` says of the metric and the mean rate.
    - `trunk`: what the runs of `config.trunk` share and save, see `_trunk`; None when none is named or it has no run.
    - `printed`: the report's average rates, see `printed_means.printed_means`.
    - `notes`: sentences on what is missing.
    """

    def metric(run: RunResult) -> float:
        return run.bits_per_byte() if compare.metric == "bits_per_byte" else run.final_loss(compare.loss_steps)

    cells = cells_of(runs, config)
    baseline, longest = next(iter(cells.schedules), None), cells.lengths[-1] if cells.lengths else None
    trunk = config.trunk if config.trunk in cells.schedules else None
    everywhere = [(length, schedule) for length in cells.lengths for schedule in cells.schedules]
    drawn = [(length, name) for length, name in everywhere if length == longest or (trunk and name in (trunk, baseline))]
    judged = [longest] if trunk is not None else list(cells.lengths)
    means = _rows(mean_row(cells, length, schedule) for length, schedule in everywhere)
    finals = [finals_at(cells, length, metric) for length in cells.lengths]
    at_judged = [one for one in finals if one["length"] in judged]
    by_mean = []
    for length in cells.lengths:
        planned = {row["schedule"]: row["planned"] for row in means if row["length"] == length and row["planned"] > 0}
        by_mean.append(by_mean_at(cells, length, metric, planned))
    return {
        "metric": compare.metric,
        "loss_steps": compare.loss_steps,
        "schedules": list(cells.schedules),
        "kinds": {name: cells.kind_of(name) for name in cells.schedules},
        "baseline": baseline,
        "lengths": [{"length": length, "tokens": cells.tokens_at(length)} for length in cells.lengths],
        "longest": longest,
        "seeds": list(dict.fromkeys(run.seed for run in cells.runs)),
        "rates": _rows(rate_row(cells, length, schedule) for length, schedule in drawn),
        "means": means,
        "losses": _rows(loss_row(cells, length, schedule, compare.loss_steps) for length, schedule in drawn),
        "finals": finals,
        "judged_at": judged,
        "claim": claim_of(at_judged, "widest"),
        "claim_of_report": claim_of(at_judged, "widest_of_report"),
        "not_turned": not_turned(cells),
        "common_peak": common_peak(cells),
        "by_mean": by_mean,
        "trunk": None if trunk is None else _trunk(cells, trunk, finals),
        "printed": printed_means(),
        "notes": _notes(runs, cells, config),
    }


def _rows(found: Any) -> list[Row]:
    return [row for row in found if row is not None]


def _trunk(cells: Cells, trunk: str, finals: Sequence[Row]) -> Row:
    """Return what one trunk cooled down at several lengths takes, over all of its runs that came to their length.

    `trained_tokens` by the runs' accounts, what was shared counted once; `separate_tokens`, if each had been trained from its first
    step; `saved`, the share of the latter that was not needed; `baseline_tokens`, what the baseline's runs were trained on, of
    `baseline_runs`. `rows`, one for each length: `tokens` of a run, `runs`, `trained_tokens` of these, `common_steps` (of the plan
    that have the very rates of the longest length) out of `steps`, `trunk` and `baseline`, their mean metrics, and `difference`,
    `low`, `high`, `relative`, `relative_low`, `relative_high`, `verdict` against the baseline at this length.
    """
    baseline = cells.schedules[0]
    own = [run for length in cells.lengths for run in cells.ended(length, trunk)]
    base = [run for length in cells.lengths for run in cells.ended(length, baseline)]
    trained, separate = sum(run.cost.tokens for run in own), sum(planned_tokens(run) for run in own)
    longest = _planned(cells, cells.lengths[-1], trunk)
    rows = []
    for at in finals:
        by_name = {row["level"]: row for row in at["rows"]}
        here, stage = cells.ended(at["length"], trunk), _planned(cells, at["length"], trunk)
        told = {"trunk": by_name.get(trunk, {}).get("mean"), "baseline": by_name.get(baseline, {}).get("mean")}
        kept = ("difference", "low", "high", "relative", "relative_low", "relative_high", "verdict")
        told |= {key: by_name.get(trunk, {}).get(key) for key in kept}
        costs = {"runs": len(here), "trained_tokens": sum(run.cost.tokens for run in here)}
        steps = {"steps": stage and stage.steps_planned, "common_steps": _common_steps(stage, longest)}
        rows.append({"length": at["length"], "tokens": at["tokens"], **costs, **steps, **told})
    return {
        "schedule": trunk,
        "baseline": baseline,
        "runs": len(own),
        "trained_tokens": trained,
        "separate_tokens": separate,
        "saved": 1 - trained / separate if separate else None,
        "baseline_runs": len(base),
        "baseline_tokens": sum(run.cost.tokens for run in base),
        "rows": rows,
    }


def _planned(cells: Cells, length: str | None, schedule: str) -> Stage | None:
    return next((stage for run in cells.at(length, schedule) if (stage := last_stage(run)) is not None), None)


def _common_steps(one: Stage | None, other: Stage | None) -> int | None:
    """Return how many steps of two plans have equal rates from the first on, to the last bit; None where one is not known."""
    if one is None or other is None:
        return None
    configs = [(ScheduleConfig.model_validate(dict(stage.schedule)), stage.steps_planned) for stage in (one, other)]
    shorter = min(steps for _, steps in configs)
    differing = (step for step in range(1, shorter + 1) if len({learning_rate(config, step, of) for config, of in configs}) > 1)
    return next(differing, shorter + 1) - 1


def _notes(runs: Sequence[RunResult], cells: Cells, config: SchedulesAnalysis) -> list[str]:
    notes = []
    if len(cells.runs) < len(runs):
        axes = " and ".join(filter(None, (config.schedule, config.length)))
        notes.append(f"{len(runs) - len(cells.runs)} runs have no level of {axes} and are left out.")
    for run in cells.runs:
        if not run.is_comparable:
            why = run.message or ("it was not scored" if run.outcome == "done" else "")
            notes.append(f"{run.name} is left out: {run.outcome}{f', {why}' if why else ''}.")
    for length in cells.lengths:
        missing = [schedule for schedule in cells.schedules if not cells.ended(length, schedule)]
        if missing:
            at = "" if length is None else f" at {length}"
            notes.append(f"No run{at} came to its length of {', '.join(missing)}.")
    if len(cells.schedules) == 1:
        notes.append(f"There is only one schedule, {cells.schedules[0]}: nothing to compare it with.")
    if len({run.seed for run in cells.runs if run.is_comparable}) == 1:
        notes.append("One seed only: how much chance alone makes is not known, and no difference can be called sure.")
    if config.trunk is not None and config.trunk not in cells.schedules:
        notes.append(f"No run has the trunk's schedule, {config.trunk}.")
    trunk_runs = [run for run in cells.runs if run.levels[cells.axis] == config.trunk and run.is_comparable]
    if len(cells.lengths) > 1 and trunk_runs and not any(run.cost.shared_tokens for run in trunk_runs):
        notes.append(f"The runs of {config.trunk} shared nothing: each was trained from its first step.")
    return notes
