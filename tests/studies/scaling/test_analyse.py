import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pellucid.plan.parameters import count_parameters
from pellucid.recipe.load import load_recipe
from pellucid.recipe.study import CompareConfig, ScalingAnalysis, StudyConfig
from pellucid.studies.results import RunResult, Stage
from pellucid.studies.scaling.analyse import analyse_scaling

Make = Callable[..., RunResult]
STUDIES = Path(__file__).parents[3] / "recipes" / "studies"
PARAMETERS = {"s1": 275_000, "s2": 420_000, "s3": 630_000, "s4": 1_010_000, "s5": 1_650_000}
CONFIG = ScalingAnalysis(forecast=("s5",))


def size(rung: str) -> dict[str, Any]:
    parameters = PARAMETERS[rung]
    return {"parameters": parameters, "stages": [trained(4 * parameters)], "planned_flops": 24.0 * parameters**2}


def trained(tokens: int) -> Stage:
    return Stage("pretrain", tokens // 1000, 1000, 250, {}, (), (), (), ())


def truth(rung: str, floor: float = 1.2, exponent: float = 0.2) -> float:
    return floor + 1.1 * (PARAMETERS[rung] / PARAMETERS["s1"]) ** (-2 * exponent)


def ladder(make_run: Make, seeds: int = 3, languages: bool = False, **last: Any) -> list[RunResult]:
    generator, runs = np.random.default_rng(11), []
    for rung in PARAMETERS:
        for seed in range(1, seeds + 1):
            noise = math.exp(generator.normal(0, 0.004))
            groups = {"language": {"de": 1.1 * truth(rung) * noise, "en": truth(rung, 0.9, 0.25) * noise}} if languages else {}
            more = {**size(rung), **(last if rung == "s5" else {})}
            runs.append(make_run({"rung": rung}, seed, truth(rung) * noise, groups, **more))
    return runs


def analysed(runs: list[RunResult], config: ScalingAnalysis = CONFIG, **compare: Any) -> dict[str, Any]:
    found = analyse_scaling(runs, config, CompareConfig(**compare))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def row(found: Mapping[str, Any], rung: str) -> Mapping[str, Any]:
    return next(one for one in found["rungs"] if one["rung"] == rung)


def test_the_law_of_the_lower_rungs_forecasts_the_one_above_and_is_checked_by_it(make_run: Make) -> None:
    found = analysed(ladder(make_run))
    assert found["law"]["rungs"] == ["s1", "s2", "s3", "s4"]
    assert found["law"]["kind"] == "floor"
    (made,) = found["forecasts"]
    assert (made["rung"], made["state"], made["runs"]) == ("s5", "run", 3)
    assert made["low"] < truth("s5") < made["high"]
    assert made["inside"]
    assert made["runs_inside"] == 3
    assert made["came"] == pytest.approx(np.mean(row(found, "s5")["values"]))
    assert made["error_percent"] == pytest.approx(100 * (made["value"] / made["came"] - 1))
    assert made["beyond"] == pytest.approx((PARAMETERS["s5"] / PARAMETERS["s4"]) ** 2)
    errors = {peer["name"]: peer["error_percent"] for peer in made["peers"]}
    assert errors["last rung"] == pytest.approx(100 * (row(found, "s4")["mean"] / made["came"] - 1))
    # A law with a floor bends away from the straight line, which forecasts too low a loss.
    assert errors["straight line of logs"] < -1
    assert abs(made["error_percent"]) < 2
    assert found["optimum"] is None


def test_a_rung_that_does_not_come_as_forecast_is_said_to_lie_outside(make_run: Make) -> None:
    runs = ladder(make_run)
    worse = [make_run({"rung": "s5"}, seed, 1.1 * truth("s5"), **size("s5")) for seed in (1, 2, 3)]
    (made,) = analysed([*runs[:-3], *worse])["forecasts"]
    assert made["inside"] is False
    assert made["runs_inside"] == 0
    assert made["error_percent"] < -5


def test_a_rung_that_was_not_run_has_its_forecast_alone_and_the_same_one(make_run: Make) -> None:
    (after,) = analysed(ladder(make_run))["forecasts"]
    (before,) = analysed(ladder(make_run, outcome="not begun", table=None))["forecasts"]
    assert before["state"] == "not run"
    assert [before[key] for key in ("came", "error_percent", "inside", "runs_inside")] == [None] * 4
    assert [before[key] for key in ("value", "low", "high")] == [after[key] for key in ("value", "low", "high")]
    assert [peer["error_percent"] for peer in before["peers"]] == [None, None]
    (failed,) = analysed(ladder(make_run, outcome="failed", table=None))["forecasts"]
    assert failed["state"] == "not scored"


def test_groups_have_laws_and_forecasts_of_their_own(make_run: Make) -> None:
    found = analysed(ladder(make_run, languages=True))
    assert [one["group"] for one in found["groups"]["language"]] == ["de", "en"]
    assert found["groups"]["category"] == []
    assert found["groups"]["language"][0]["law"]["kind"] == "floor"
    for one, expected in zip(found["groups"]["language"], (1.1 * truth("s5"), truth("s5", 0.9, 0.25)), strict=True):
        (made,) = one["forecasts"]
        assert made["low"] < expected < made["high"]
    assert analysed(ladder(make_run), metric="loss")["groups"] == {}


def test_steps_between_rungs_are_told_in_spreads_over_seeds(make_run: Make) -> None:
    found = analysed(ladder(make_run))
    means = {one["rung"]: one["mean"] for one in found["rungs"]}
    pooled = math.sqrt(np.mean([np.var(one["values"], ddof=1) for one in found["rungs"]]))
    assert found["spread"] == pytest.approx(pooled)
    for one in found["steps"]:
        assert one["difference"] == pytest.approx(means[one["to"]] - means[one["from"]])
        assert one["of_spread"] == pytest.approx(-one["difference"] / pooled)
        assert one["low"] < one["difference"] < one["high"] < 0
        # Student's t with 10 degrees of freedom, of a difference of two means of three.
        assert one["high"] - one["difference"] == pytest.approx(2.228139 * pooled * math.sqrt(2 / 3), rel=1e-5)


def test_compute_is_that_of_the_recipe_or_six_n_d(make_run: Make) -> None:
    uncounted = [
        make_run({"rung": rung}, 1, truth(rung), embedding_parameters=1000, **{**size(rung), "planned_flops": 0.0})
        for rung in PARAMETERS
    ]
    found = analysed(uncounted)
    assert found["flops_by"] == "6ND"
    assert row(found, "s1")["flops"] == 6 * 275_000 * 1_100_000
    assert row(found, "s1")["parameters_without_embedding"] == 274_000
    assert row(found, "s1")["tokens_per_parameter"] == 4
    assert any("6 · parameters · tokens" in note for note in found["notes"])
    known = analysed(ladder(make_run))
    assert known["flops_by"] == "recipe"
    assert row(known, "s1")["parameters_without_embedding"] is None


def test_rungs_come_by_size_and_what_is_missing_is_said(make_run: Make) -> None:
    runs = ladder(make_run)[::-1]
    runs[0] = make_run({"rung": "s1"}, 9, 1.0, outcome="failed", table=None, **size("s1"))
    runs.append(make_run({"rung": "s0"}, 1, 3.0))
    found = analysed(runs, ScalingAnalysis(forecast=("s5", "s9")))
    assert [one["rung"] for one in found["rungs"]] == list(PARAMETERS)
    notes = " ".join(found["notes"])
    assert "Rung s1: 3 of 4 runs are scored (1 failed, 3 done)." in notes
    assert "Rung s0 is left out" in notes
    assert "No run is of rung s9" in notes


def test_a_forecast_of_a_rung_with_other_tokens_by_parameter_is_warned_of(make_run: Make) -> None:
    found = analysed(ladder(make_run, stages=[trained(40 * PARAMETERS["s5"])]))
    assert any("s5 has 10 times as many tokens" in note for note in found["notes"])


def test_a_parameter_that_is_at_a_bound_or_often_there_is_said_to_be(make_run: Make) -> None:
    def notes(bend: float, noise: float) -> list[str]:
        generator, runs = np.random.default_rng(8), []
        for rung, parameters in PARAMETERS.items():
            steps = math.log(parameters / PARAMETERS["s1"])
            for seed in (1, 2, 3):
                value = math.exp(1.0 - 0.3 * steps + bend * steps**2 + generator.normal(0, noise))
                runs.append(make_run({"rung": rung}, seed, value, **size(rung)))
        return list(analysed(runs)["notes"])

    assert any(note.startswith("E lies at the bound of what is looked for, 0") for note in notes(-0.02, 1e-4))
    assert any(note.startswith("E lies at a bound in ") for note in notes(0.05, 0.03))
    assert not any("bound" in note for note in notes(0.05, 1e-4))


@pytest.mark.parametrize("rungs", [0, 1, 2, 3])
def test_short_ladders_say_what_cannot_be_said(make_run: Make, rungs: int) -> None:
    kept = [*list(PARAMETERS)[:rungs], "s5"] if rungs else []
    runs = [run for run in ladder(make_run, seeds=1) if run.levels["rung"] in kept]
    found = analysed(runs)
    assert found["spread"] is None
    if rungs < 2:
        assert found["law"] is None
        assert found["curve"] is None
        assert all(one["value"] is None for one in found["forecasts"])
    else:
        assert found["law"]["kind"] == {2: "line", 3: "floor"}[rungs]
        assert found["forecasts"][0]["low"] is None
        assert any("no intervals" in note for note in found["notes"])


def test_a_grid_of_parameters_and_tokens_has_an_optimum_and_no_curve(make_run: Make) -> None:
    runs = []
    for n in (1_000_000, 2_000_000, 4_000_000):
        for d in (10_000_000, 30_000_000, 90_000_000):
            for seed in (1, 2):
                loss = (1.2 + 30 / n**0.3 + 200 / d**0.35) * (1 + 0.001 * seed)
                runs.append(
                    make_run({"rung": f"{n}-{d}"}, seed, loss, parameters=n, stages=[trained(d)], planned_flops=6.0 * n * d)
                )
    found = analysed(runs, ScalingAnalysis())
    assert found["law"]["kind"] == "full"
    assert found["curve"] is None
    assert found["optimum"]["parameters_exponent"]["value"] == pytest.approx(0.35 / 0.65, abs=0.1)
    assert found["forecasts"] == []


def test_the_study_ties_tokens_rates_and_shape_to_the_size() -> None:
    study = StudyConfig.model_validate(yaml.safe_load((STUDIES / "scaling.yaml").read_text()))
    (axis,) = study.axes.values()
    assert axis.levels is not None
    assert study.analyse.scaling is not None
    assert set(study.analyse.scaling.forecast) < set(axis.levels)
    flops_by_rung, trained = [], 0.0
    for level in axis.levels.values():
        overrides = [f"{key}={value}" for key, value in {**study.set, **level}.items()]
        recipe = load_recipe((STUDIES / study.base).resolve(), overrides).recipe
        (stage,), count = recipe.train, count_parameters(recipe.model)
        assert stage.length_tokens % stage.batch_tokens == 0
        assert abs(stage.length_tokens - 3.6 * count.total) <= stage.batch_tokens
        assert stage.schedule.peak_lr == pytest.approx(8e-3 * (count.total / 625_664) ** (-1 / 3), rel=0.01)
        assert stage.schedule.peak_lr * stage.optimizer.embedding_lr_ratio == pytest.approx(0.032, rel=0.01)
        assert stage.schedule.warmup_steps == math.ceil(0.1 * stage.total_steps)
        assert recipe.model.mlp_hidden == 2.75 * recipe.model.hidden
        flops_by_rung.append(count.multiplied * stage.length_tokens)
        trained += len(study.seeds) * count.multiplied * stage.length_tokens
    assert flops_by_rung == sorted(flops_by_rung)
    # In tokens of the largest, which is the base's size: the whole study is within 30 million.
    assert trained / count.multiplied < 30e6
