"""A ladder of sizes: a law of loss on the lower rungs, and its forecast of those above, checked where they have been run."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pellucid.core.seeds import derive_seed
from pellucid.recipe.study import CompareConfig, ScalingAnalysis
from pellucid.studies.effects import Metric, seed_spread
from pellucid.studies.least_squares import fit
from pellucid.studies.results import RunResult, by_level
from pellucid.studies.scaling.compute_optimal import compute_optimal
from pellucid.studies.scaling.loss_law import LossLaw, Rung, fit_loss_law, is_tied, line_at, which_law

__all__ = ["analyse_scaling"]

_CURVE_POINTS = 41
_KINDS = ("language", "category")
_OFTEN = 0.2
"""Share of resampled fits at a bound that is worth a sentence."""
_RATIO = 1.1
"""A rung whose tokens differ by more than this factor from what the other rungs have at its size is not on their line."""


@dataclass(frozen=True)
class _Step:
    """One rung of the ladder with its runs; `rung` holds no losses yet."""

    rung: Rung
    runs: Sequence[RunResult]
    embedding_parameters: int
    is_forecast: bool

    def with_losses(self, metric: Metric) -> Rung:
        """Return the rung with one loss for each run that can be compared."""
        values = [metric(run) for run in self.runs if run.is_comparable]
        return replace(self.rung, losses=tuple(value for value in values if math.isfinite(value) and value > 0))


def analyse_scaling(runs: Sequence[RunResult], config: ScalingAnalysis, compare: CompareConfig) -> dict[str, Any]:
    """Return a ladder of sizes as plain values.

    - `axis`, `metric`, and `flops_by`: "recipe" (FLOPs as `plan.flops` counts them) or "6ND" where some run does not say.
    - `rungs`, by size: `rung`, `parameters`, `parameters_without_embedding` (None where not known), `tokens`,
      `tokens_per_parameter`, `flops`, `runs` (how many are scored), `values`, `mean`, `stdev`, `is_forecast` (the law is not fitted
      to it), `law` (its value there), `off_law_percent` (the mean's distance from it).
    - `steps` from each rung to the next: `from`, `to`, `difference` of means, `low` and `high` (95 %, by the spread of seeds over
      all rungs), `of_spread` (difference over that spread). `spread` and `spread_percent` are the standard deviation over seeds.
    - `law` as `LossLaw.to_json`, or None; `curve`: `flops`, `value`, and `low` and `high` of a run; None for a law of N and D.
    - `forecasts`, one for each of `config.forecast` that has a size: see `_forecast`.
    - `groups`: by "language" and "category" one row for each group: `group`, `law` and `forecasts` as above.
    - `optimum` as `compute_optimal` at the largest fitted rung, None where tokens are tied to parameters.
    - `notes`: short sentences about what is missing or must be known.
    """
    metric, notes = _metric(compare), list[str]()
    steps, flops_by = _ladder(runs, config, notes)
    fitted = [step for step in steps if not step.is_forecast]
    law = fit_loss_law([step.with_losses(metric) for step in fitted], seed=derive_seed(compare.seed, "scaling"))
    spread = seed_spread([run for step in steps for run in step.runs], metric)
    notes += _told(law, steps, metric, flops_by)
    return {
        "axis": config.rung,
        "metric": compare.metric,
        "flops_by": flops_by,
        "rungs": [_rung(step, metric, law) for step in steps],
        "steps": _steps(steps, metric, spread),
        "spread": spread,
        "spread_percent": None if law is None or law.seed_spread is None else 100 * law.seed_spread,
        "law": None if law is None else law.to_json(),
        "curve": _curve(law, steps),
        "forecasts": [_forecast(law, step, metric) for step in steps if step.is_forecast],
        "groups": _groups(steps, compare) if compare.metric == "bits_per_byte" else {},
        "optimum": None if law is None else compute_optimal(law, max(rung.flops for rung in law.rungs)),
        "notes": notes,
    }


def _metric(compare: CompareConfig) -> Metric:
    return RunResult.bits_per_byte if compare.metric == "bits_per_byte" else lambda run: run.final_loss(compare.loss_steps)


def _ladder(runs: Sequence[RunResult], config: ScalingAnalysis, notes: list[str]) -> tuple[list[_Step], str]:
    """Return rungs that have a size, by FLOPs, and what these are from; say in `notes` what is left out."""
    levels = by_level(runs, config.rung)
    steps, are_counted = [], True
    for name, members in levels.items():
        sized = next((run for run in members if run.parameters and _tokens(run)), None)
        if sized is None:
            notes.append(f"Rung {name} is left out: none of its runs says how large it is.")
            continue
        are_counted &= sized.planned_flops > 0
        rung = Rung(name, sized.parameters, _tokens(sized), sized.planned_flops)
        steps.append(_Step(rung, members, sized.embedding_parameters, name in config.forecast))
        scored, missing = Counter(run.outcome for run in members), sum(not run.is_comparable for run in members)
        if missing:
            why = ", ".join(f"{count} {outcome}" for outcome, count in scored.items())
            notes.append(f"Rung {name}: {len(members) - missing} of {len(members)} runs are scored ({why}).")
        if len({tuple(sorted(run.levels.items())) for run in members}) > 1:
            notes.append(f"Rung {name} has runs of several levels of other axes, which are taken together.")
    notes += [f"No run is of rung {name}, which is to be forecast." for name in config.forecast if name not in levels]
    if not are_counted:
        steps = [replace(step, rung=replace(step.rung, flops=6 * step.rung.parameters * step.rung.tokens)) for step in steps]
    return sorted(steps, key=lambda step: step.rung.flops), "recipe" if are_counted else "6ND"


def _tokens(run: RunResult) -> int:
    return sum(stage.steps_planned * stage.batch_tokens for stage in run.stages)


def _rung(step: _Step, metric: Metric, law: LossLaw | None) -> dict[str, Any]:
    rung = step.with_losses(metric)
    known = bool(rung.losses)
    value = None if law is None else law.forecast(rung).value
    return {
        "rung": rung.name,
        "parameters": int(rung.parameters),
        "parameters_without_embedding": int(rung.parameters) - step.embedding_parameters if step.embedding_parameters else None,
        "tokens": int(rung.tokens),
        "tokens_per_parameter": rung.tokens / rung.parameters,
        "flops": rung.flops,
        "runs": len(rung.losses),
        "values": list(rung.losses),
        "mean": rung.mean if known else None,
        "stdev": float(np.std(rung.losses, ddof=1)) if len(rung.losses) > 1 else None,
        "is_forecast": step.is_forecast,
        "law": value,
        "off_law_percent": None if value is None or not known else 100 * (rung.mean / value - 1),
    }


def _steps(steps: Sequence[_Step], metric: Metric, spread: float | None) -> list[dict[str, Any]]:
    rungs = [rung for step in steps if (rung := step.with_losses(metric)).losses]
    if len(rungs) < 2:
        return []
    design_NP = np.repeat(np.eye(len(rungs)), [len(rung.losses) for rung in rungs], axis=0)
    fitted = fit(design_NP, np.array([loss for rung in rungs for loss in rung.losses]))
    rows = []
    for place in range(1, len(rungs)):
        weights_P = np.zeros(len(rungs))
        weights_P[place - 1 : place + 1] = -1.0, 1.0
        made = fitted.contrast(weights_P)
        of_spread = abs(made.value) / spread if spread else None
        row = {"from": rungs[place - 1].name, "to": rungs[place].name, "difference": made.value, "low": made.low, "high": made.high}
        rows.append({**row, "of_spread": of_spread})
    return rows


def _curve(law: LossLaw | None, steps: Sequence[_Step]) -> list[dict[str, float | None]] | None:
    if law is None or law.kind == "full":
        return None
    ends = [step.rung.flops for step in steps]
    rows = []
    for flops in np.geomspace(min(ends), max(ends), _CURVE_POINTS):
        made = law.forecast(Rung("", 1.0, 1.0, float(flops)))
        rows.append({"flops": float(flops), "value": made.value, "low": made.low, "high": made.high})
    return rows


def _forecast(law: LossLaw | None, step: _Step, metric: Metric) -> dict[str, Any]:
    """Return the forecast of a rung beside what came.

    `rung`; `state`: "run", "not run", or "not scored" where it was begun and no run of it can be compared; `flops`, and `beyond`,
    that over the largest fitted rung's; `value`, `low` and `high` (95 % of runs of new seeds), `law_low` and `law_high` (the law
    alone), None where nothing can be said; `runs`, `values`, `came` (their mean), `error_percent` (forecast less what came, of what
    came), `inside` (whether the mean lies between low and high), `runs_inside`; `peers`: `name`, `value`, `error_percent` of the
    last fitted rung's mean, and of a straight line of logs, which has no floor.
    """
    rung = step.with_losses(metric)
    begun = any(run.outcome != "not begun" for run in step.runs)
    came = rung.mean if rung.losses else None
    found: dict[str, Any] = {
        "rung": rung.name, "state": "run" if rung.losses else "not scored" if begun else "not run", "flops": rung.flops,
        "beyond": None, "value": None, "low": None, "high": None, "law_low": None, "law_high": None,
        "runs": len(rung.losses), "values": list(rung.losses), "came": came,
        "error_percent": None, "inside": None, "runs_inside": None, "peers": [],
    }  # fmt: skip
    if law is None:
        return found
    last = max(law.rungs, key=lambda one: one.flops)
    made = law.forecast(rung)
    found |= {**asdict(made), "beyond": rung.flops / last.flops, "error_percent": _error(made.value, came)}
    if made.low is not None and made.high is not None and came is not None:
        inside = [made.low <= value <= made.high for value in (came, *rung.losses)]
        found |= {"inside": inside[0], "runs_inside": sum(inside[1:])}
    for name, value in (("last rung", last.mean), ("straight line of logs", line_at(law.rungs, rung))):
        found["peers"].append({"name": name, "value": value, "error_percent": _error(value, came)})
    return found


def _error(value: float, came: float | None) -> float | None:
    return None if came is None else 100 * (value / came - 1)


def _groups(steps: Sequence[_Step], compare: CompareConfig) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for kind in _KINDS:
        rows = []
        for group in _names(steps, kind):

            def metric(run: RunResult, kind: str = kind, group: str = group) -> float:
                return run.bits_per_byte(kind, group)

            rungs = [step.with_losses(metric) for step in steps if not step.is_forecast]
            law = fit_loss_law(rungs, seed=derive_seed(compare.seed, "scaling", kind, group))
            forecasts = [_forecast(law, step, metric) for step in steps if step.is_forecast]
            rows.append({"group": group, "law": None if law is None else law.to_json(), "forecasts": forecasts})
        found[kind] = rows
    return found


def _names(steps: Iterable[_Step], kind: str) -> list[str]:
    tables: list[Mapping[str, Any]] = [run.table for step in steps for run in step.runs if run.table is not None]
    return sorted({group for table in tables for group in table.get(kind, {})})


def _told(law: LossLaw | None, steps: Sequence[_Step], metric: Metric, flops_by: str) -> list[str]:
    """Return what must be known of a law, in sentences."""
    fitted = [rung for step in steps if not step.is_forecast and (rung := step.with_losses(metric)).losses]
    notes = []
    if flops_by == "6ND":
        notes.append("Compute is 6 · parameters · tokens: not all runs say how many FLOPs they take.")
    if law is None:
        return [*notes, which_law(fitted)[1]]
    if law.seed_spread is None:
        notes.append("No rung has two seeds: what rungs scatter about the law stands for the spread over seeds.")
    if law.replicas is None:
        notes.append(
            "There are no intervals: as many runs as the law has parameters, and no seeds, tell nothing of how sure it is."
        )
    told = law.to_json()
    if told["off_law_p"] is not None and told["off_law_p"] < 0.05:
        notes.append(
            f"Rungs lie off the law by more than seeds explain (p = {told['off_law_p']:.2g}). The intervals allow for that as far "
            "as so few rungs can tell how much it is."
        )
    for row in told["parameters"]:
        if row["at_bound"]:
            where = "0" if row["at_bound"] == "least" else f"{row['value']:g}"
            notes.append(f"{row['name']} lies at the bound of what is looked for, {where}: these runs do not show another value.")
        elif (row["at_bound_share"] or 0) > _OFTEN:
            share = f"{100 * row['at_bound_share']:.0f} %"
            notes.append(f"{row['name']} lies at a bound in {share} of resampled fits: these runs hardly tell its value.")
    return notes + _off_lines(fitted, [step.rung for step in steps if step.is_forecast])


def _off_lines(fitted: Sequence[Rung], forecast: Sequence[Rung]) -> list[str]:
    """Return which rungs have not the tokens that the others have at their size, if tokens are tied to parameters at all."""
    off = {rung.name: _off_line(fitted, rung) for rung in forecast if is_tied(fitted)}
    return [
        f"Rung {name} has {factor:.2g} times as many tokens, or as few, as others have at their size: their law is not of it."
        for name, factor in off.items()
        if factor > _RATIO
    ]


def _off_line(rungs: Sequence[Rung], rung: Rung) -> float:
    """Return the factor, 1 or more, by which a rung's tokens differ from a line of log tokens over log parameters."""
    x, y = np.log([[one.parameters, one.tokens] for one in rungs]).T
    here = math.log(rung.parameters), math.log(rung.tokens)
    if np.ptp(x) < 1e-9:
        return math.exp(abs(here[0] - float(x[0])))
    slope, start = np.polyfit(x, y, 1)
    return math.exp(abs(here[1] - float(start + slope * here[0])))
