"""What measuring capabilities over training costs and tells, from the lines of a finished pocket run.

make demo && python benchmarks/curves.py
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.core.artifacts import read_manifest
from pellucid.core.files import read_json, write_json
from pellucid.core.ledger import read_ledger
from pellucid.core.metrics import read_metrics
from pellucid.evals.choices.score import HIGHER_IS_BETTER
from pellucid.evals.curves import read_curves
from pellucid.evals.forecast import MIN_POINTS, forecast
from pellucid.stages.run_folder import open_recipe, training_stage

ROOT = Path(__file__).parents[1]


def shares(run: Path, stages: list[str]) -> dict[str, Any]:
    """Return the seconds spent on curves, beside those of their stages and of the whole run, as the ledger has them."""
    ledger = list(read_ledger(run / "ledger.jsonl"))
    of_run = sum(event.get("seconds", 0.0) for event in ledger)
    of_stages = sum(event.get("seconds", 0.0) for event in ledger if event["stage"] in stages)
    lines = [line["seconds"] for stage in stages for line in read_metrics(run / stage / "curves.jsonl")]
    spent = [*lines, *(read_json(run / stage / "curves.json")["seconds_around"] for stage in stages)]
    return {
        "times_measured": len(lines),
        "seconds": round(sum(spent), 2),
        "seconds_of_stages": round(of_stages, 1),
        "seconds_of_run": round(of_run, 1),
        "share_of_stages": sum(spent) / of_stages,
        "share_of_run": sum(spent) / of_run,
    }


def rolling_coverage(run: Path, stage: str) -> dict[str, Any]:
    """Forecast every later point from every beginning; return how often the 95 % interval held what came, and the median error.

    `before_cooldown` leaves out points after the learning rate began to fall, which no forecast from before can know of.
    """
    config = training_stage(open_recipe(run), stage)
    falls = config.total_steps - config.schedule.cooldown_steps
    curves = read_curves(read_metrics(run / stage / "curves.jsonl"), read_json(run / stage / "curves.items.json"))
    found: dict[str, Any] = {}
    for name, by_metric in curves.items():
        for metric in ("bits_per_byte", "mass", "acc"):
            if metric not in by_metric:
                continue
            curve, values = by_metric[metric], by_metric[metric].values()
            bounds = (0.0, 1.0 if HIGHER_IS_BETTER[metric] else None)
            rows = []
            for last in range(MIN_POINTS, len(values)):
                for to in range(last + 1, len(values)):
                    x, y = curve.tokens_S[: last + 1], values[: last + 1].tolist()
                    made = forecast(x, y, curve.tokens_S[to], bounds=bounds, seed=last)
                    if made is not None:
                        inside = made.low <= values[to] <= made.high
                        rows.append((curve.steps_S[to] <= falls, inside, abs(made.value - values[to])))
            parts = {"all": rows, "before_cooldown": [row for row in rows if row[0]]}
            found[f"{name}, {metric}"] = {
                part: {
                    "forecasts": len(some),
                    "inside": float(np.mean([row[1] for row in some])) if some else None,
                    "median_error": float(np.median([row[2] for row in some])) if some else None,
                }
                for part, some in parts.items()
            }
    return found


def given_curves(run: Path, stage: str) -> dict[str, Any] | None:
    """Return what the recipe asks to be measured."""
    curves = training_stage(open_recipe(run), stage).curves
    return curves.model_dump(mode="json") if curves is not None else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "pocket")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "curves.json")
    given = parser.parse_args()
    run: Path = given.run
    stages = [path.parent.name for path in sorted(run.glob("*/curves.json")) if "superseded" not in path.parent.name]
    if not stages:
        parser.error(f"{run} has no stage with curves.json: run recipes/pocket.yaml first")
    training = read_manifest(run / stages[0])
    result: dict[str, Any] = {
        "command": "make demo && python benchmarks/curves.py",
        "code": training.code_version,
        "environment": training.environment,
        "cost": shares(run, stages),
    }
    for stage in stages:
        summary = read_json(run / stage / "curves.json")
        result[stage] = {
            "curves": given_curves(run, stage),
            "between_tasks": summary["between_tasks"],
            "coverage_of_forecasts": rolling_coverage(run, stage),
            "tasks": {
                name: {
                    metric: {
                        "first": one["points"][0]["value"],
                        "last": {key: one["points"][-1][key] for key in ("value", "low", "high")},
                        "tau": {key: one["tau"][key] for key in ("with_steps", "split_half")},
                        "stability": one["stability"],
                        "forecast": one["forecast"],
                    }
                    for metric, one in task["metrics"].items()
                }
                for name, task in summary["tasks"].items()
            },
        }
    write_json(given.out, result)
    cost = result["cost"]
    print(f"{cost['seconds']} s in {cost['times_measured']} times: {100 * cost['share_of_run']:.2f} % of the run")


if __name__ == "__main__":
    main()
