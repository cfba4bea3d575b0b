"""All that a study says: the effect of every axis with how sure it is, what each run took, and the analyses that it asks for."""

import math
from collections.abc import Sequence
from typing import Any

from pellucid.recipe.study import StudyConfig
from pellucid.studies.batch_size.analyse import analyse_batch_size
from pellucid.studies.continued.analyse import analyse_continued
from pellucid.studies.effects import Metric, effects_of, seed_spread
from pellucid.studies.mixes.analyse import analyse_mixes
from pellucid.studies.results import OUTCOMES, RunResult
from pellucid.studies.scaling.analyse import analyse_scaling
from pellucid.studies.schedules.analyse import analyse_schedules

__all__ = ["analyse", "metric_of"]

_KINDS = ("language", "category")


def metric_of(config: StudyConfig) -> Metric:
    """Return the figure that a study's runs are compared by; less is better."""
    if config.compare.metric == "loss":
        return lambda run: run.final_loss(config.compare.loss_steps)
    return lambda run: run.bits_per_byte()


def analyse(config: StudyConfig, runs: Sequence[RunResult]) -> dict[str, Any]:
    """Return what `results/study.json` holds.

    `study`: name, description, metric; `runs`: one row each with levels, seed, outcome, metric, cost; `effects`: `axes` (one
    `effects_of` for each axis), `by_group` (kind → group → axis → `effects_of`), `spread` over seeds; `cost`: sums, and what was
    shared; `made_with`: by stage the settings that runs were trained with, and whose; then one entry for each analysis that
    the study asks for.
    """
    metric = metric_of(config)
    found: dict[str, Any] = {
        "study": {"name": config.name, "description": config.description, "metric": config.compare.metric, "seeds": config.seeds},
        "runs": [_row(run, metric) for run in runs],
        "effects": _effects(config, runs, metric),
        "cost": _cost(runs),
        "made_with": _made_with(runs),
    }
    asked = config.analyse
    if asked.schedules is not None:
        found["schedules"] = analyse_schedules(runs, asked.schedules, config.compare)
    if asked.mixes is not None:
        found["mixes"] = analyse_mixes(runs, asked.mixes, config.compare)
    if asked.batch_size is not None:
        found["batch_size"] = analyse_batch_size(runs, asked.batch_size, config.compare)
    if asked.continued is not None:
        found["continued"] = analyse_continued(runs, asked.continued, config.compare)
    if asked.scaling is not None:
        found["scaling"] = analyse_scaling(runs, asked.scaling, config.compare)
    return found


def _row(run: RunResult, metric: Metric) -> dict[str, Any]:
    value = metric(run)
    return {
        "name": run.name,
        "levels": dict(run.levels),
        "seed": run.seed,
        "outcome": run.outcome,
        "message": run.message,
        "metric": value if math.isfinite(value) else None,
        "parameters": run.parameters,
        "steps": {stage.name: len(stage.steps) for stage in run.stages},
        "begins_with": run.begins_with,
        "tokens": run.cost.tokens,
        "shared_tokens": run.cost.shared_tokens,
        "flops": run.cost.flops,
        "seconds": run.cost.seconds,
        "cpu_s": run.cost.cpu_s,
        "joules": run.cost.joules,
        "data_s": run.cost.data_s,
    }


def _effects(config: StudyConfig, runs: Sequence[RunResult], metric: Metric) -> dict[str, Any]:
    axes = {name: axis.baseline for name, axis in config.axes.items()}
    by_group: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for kind in _KINDS if config.compare.metric == "bits_per_byte" else ():
        groups = sorted({group for run in runs for group in (run.table or {}).get(kind, {})})
        by_group[kind] = {
            group: [effects_of(runs, name, _of_group(kind, group), baseline) for name, baseline in axes.items()] for group in groups
        }
    return {
        "metric": config.compare.metric,
        "axes": [effects_of(runs, name, metric, baseline) for name, baseline in axes.items()],
        "by_group": by_group,
        "spread": seed_spread(runs, metric),
        "runs": sum(run.outcome == "done" and math.isfinite(metric(run)) for run in runs),
    }


def _of_group(kind: str, group: str) -> Metric:
    return lambda run: run.bits_per_byte(kind, group)


def _made_with(runs: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Return by stage each setting with the runs that were trained with it, most used first: one entry for each stage, unless a
    study was gone on with in another way."""
    found: list[dict[str, Any]] = []
    for run in runs:
        for made in run.made_with:
            entry = next((one for one in found if (one["stage"], one["settings"]) == (made["stage"], made["settings"])), None)
            if entry is None:
                found.append(entry := {"stage": made["stage"], "settings": dict(made["settings"]), "runs": []})
            entry["runs"].append(run.name)
    stages = list(dict.fromkeys(one["stage"] for one in found))
    return sorted(found, key=lambda one: (stages.index(one["stage"]), -len(one["runs"])))


def _cost(runs: Sequence[RunResult]) -> dict[str, Any]:
    return {
        "runs": len(runs),
        "outcomes": {name: sum(run.outcome == name for run in runs) for name in OUTCOMES},
        "tokens": sum(run.cost.tokens for run in runs),
        "shared_tokens": sum(run.cost.shared_tokens for run in runs),
        "flops": math.fsum(run.cost.flops for run in runs),
        "seconds": math.fsum(run.cost.seconds for run in runs),
        "cpu_hours": math.fsum(run.cost.cpu_s for run in runs) / 3600,
        "joules": math.fsum(run.cost.joules for run in runs),
        "data_s": [run.cost.data_s for run in runs],
    }
