"""Runs drawn from the law that the analysis is to find: tokens to equal loss grow as 1 + B/B_crit."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pellucid.optim.schedules import learning_rate
from pellucid.recipe.load import load_recipe
from pellucid.recipe.study import BatchSizeAnalysis, CompareConfig, StudyConfig
from pellucid.studies.batch_size.analyse import PRINTED, analyse_batch_size
from pellucid.studies.results import Point, RunResult, Scores, Stage

Make = Callable[..., RunResult]

B_CRIT, BASE, T0 = 9000.0, 4096, 300 * 4096
BATCHES = (4096, 8192, 12288, 16384)
STEPS = {4096: 300, 8192: 280, 12288: 240, 16384: 220}
COMPARE = CompareConfig(loss_steps=50)
STUDY = Path(__file__).parents[3] / "recipes" / "studies" / "batch-size.yaml"


def factor(batch: int) -> float:
    return (1 + batch / B_CRIT) / (1 + BASE / B_CRIT)


def loss(tokens: Any, batch: int) -> Any:
    """Loss of weights: what a run of the least batch has after `tokens`, one of this batch has after `factor` times as many."""
    return 2.0 + 5.0 * (1 + np.asarray(tokens) / factor(batch) / 40_000) ** -0.5


class Study:
    """Makes runs: a seed shifts all losses alike, each sequence of 256 tokens has noise of its own."""

    def __init__(self, make_run: Make, noise: float = 0.5, seed: int = 0) -> None:
        self._make, self._noise, self._generator = make_run, noise, np.random.default_rng(seed)

    def run(self, batch: int, seed: int, steps: int | None = None, **more: Any) -> RunResult:
        step_K = np.arange(1, (steps or STEPS[batch]) + 1)
        noise_K = self._generator.normal(0, self._noise / math.sqrt(batch / 256), len(step_K))
        losses = loss((step_K - 1) * batch, batch) + 0.05 * seed + noise_K
        stage = Stage(
            "pretrain", len(step_K), batch, 256, {}, step_K.tolist(), [0.0] * len(step_K), losses.tolist(), [0.0] * len(step_K)
        )
        points = []
        for step in (0, *range(20, len(step_K) + 1, 20)):
            nats = (float(loss(step * batch, batch)) / 4 + 0.01 * seed) * math.log(2) * 1000
            points.append(Point("pretrain", step, step * batch, {"all": {"all": Scores(nats, 1000, 9)}}))
        return self._make({"batch": str(batch)}, seed, 1.0, **{"stages": (stage,), "points": tuple(points), **more})

    def runs(self, batches: Sequence[int] = BATCHES, seeds: Sequence[int] = (1, 2, 3)) -> list[RunResult]:
        return [self.run(batch, seed) for batch in batches for seed in seeds]


def analyse(runs: Sequence[RunResult], **config: Any) -> dict[str, Any]:
    found = analyse_batch_size(runs, BatchSizeAnalysis(**config), COMPARE)
    # Plain values and nothing that is not a number, or this raises.
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


@pytest.mark.parametrize("measure", ["loss", "bits_per_byte"])
def test_without_noise_tokens_steps_and_the_law_are_those_that_made_the_runs(make_run: Make, measure: str) -> None:
    found = analyse(Study(make_run, noise=0.0).runs())
    told = found[measure]
    # The window is centred: the baseline has its target in the middle of its last 50 steps, held-out text at the very end.
    base = 274.5 * 4096 if measure == "loss" else T0
    assert told["baseline_tokens"] == pytest.approx(base, rel=1e-9)
    assert told["baseline_steps"] == pytest.approx(base / 4096)
    for row in told["rows"]:
        batch = row["batch_tokens"]
        assert row["token_factor"]["value"] == pytest.approx(factor(batch), rel=4e-3)
        assert row["tokens"]["value"] == pytest.approx(base * factor(batch), rel=4e-3)
        assert row["step_factor"]["value"] == pytest.approx(batch / BASE / factor(batch), rel=4e-3)
        assert row["steps"]["value"] * batch == pytest.approx(row["tokens"]["value"])
        assert (row["runs"], row["reached"], row["at_least_tokens"]) == (3, 3, None)
    assert told["law"]["b_crit_tokens"]["value"] == pytest.approx(B_CRIT, rel=0.02)
    assert found["baseline"] == {"level": "4096", "batch_tokens": 4096, "trained_tokens": T0, "trained_steps": 300}
    assert found["window_tokens"] == 50 * 4096
    assert found["notes"] == []


def test_intervals_hold_the_true_factors_as_often_as_they_say_and_the_middle_is_not_shifted(make_run: Make) -> None:
    inside, middles, studies = [], dict[int, list[float]](), 50
    for number in range(studies):
        told = analyse(Study(make_run, seed=number).runs())["loss"]
        for row in told["rows"][1:]:
            batch, one = row["batch_tokens"], row["token_factor"]
            inside.append(one["low"] <= factor(batch) <= one["high"])
            middles.setdefault(batch, []).append(math.log(one["value"] / factor(batch)))
    # Those of one study share targets: as if they were one, a binomial of 50 with p = 0.95 is above 41 with 99.9 %.
    assert np.mean(inside) > 41 / 50
    for shifts in middles.values():
        # The last of several crossings is a little late: by 0.6 % here, with a standard error of 0.45 %.
        assert abs(np.mean(shifts)) < 0.02


def test_b_crit_is_found_within_its_interval_and_the_noise_scale_is_put_beside_it(make_run: Make) -> None:
    study = Study(make_run, seed=4)

    def scale(step: int, tokens: float) -> dict[str, Any]:
        ends = {"low": 0.8 * tokens, "high": 1.25 * tokens}
        return {
            "step": step,
            "tokens": step * 4096,
            "noise_scale_tokens": tokens,
            "gradient_norm_squared": 1.0,
            "trace": tokens,
        } | ends

    runs = [study.run(4096, seed, noise=(scale(100, 4000.0 + seed), scale(300, 30_000.0 + seed))) for seed in (1, 2, 3)]
    found = analyse([*runs, *study.runs(BATCHES[1:])])
    b_crit = found["loss"]["law"]["b_crit_tokens"]
    assert b_crit["low"] < B_CRIT < b_crit["high"]
    beside = found["noise"]["baseline"]
    assert beside["b_crit_tokens"] == b_crit
    assert (beside["first"]["step"], beside["last"]["noise_scale_tokens"]) == (100, pytest.approx(30_002.0))
    assert beside["ratio"] == pytest.approx(30_002 / b_crit["value"])
    assert beside["same_order"] is True


def test_a_run_that_does_not_come_to_the_loss_says_where_it_ended_and_its_level_has_a_lower_bound(make_run: Make) -> None:
    study = Study(make_run, noise=0.0)
    runs = [*study.runs(BATCHES[:3]), study.run(16384, 1), study.run(16384, 2, steps=60, outcome="stopped"), study.run(16384, 3)]
    found = analyse(runs)
    row = found["loss"]["rows"][-1]
    short = next(one for one in row["of_runs"] if one["seed"] == 2)
    assert (row["runs"], row["reached"], short["reached"], short["tokens"]) == (3, 2, False, None)
    assert short["trained_tokens"] == 60 * 16384
    assert short["end_tokens"] == pytest.approx((60 - 0.5) * 16384 - 25 * 4096)
    assert row["tokens"] == row["step_factor"] == {"value": None, "low": None, "high": None}
    assert row["at_least_tokens"] < 274.5 * 4096 * factor(16384)
    # The level takes no part in the law, which the others still show.
    assert found["loss"]["law"]["runs"] == 9
    assert found["loss"]["law"]["b_crit_tokens"]["value"] == pytest.approx(B_CRIT, rel=0.03)
    assert "By the training loss 1 of 3 runs of 16384 did not come to the target and stay." in found["notes"]


def test_a_run_that_was_stopped_once_it_was_as_good_counts_as_one_that_reached_it(make_run: Make) -> None:
    study = Study(make_run, noise=0.0)
    whole = analyse(study.runs())["loss"]["rows"][1]["tokens"]
    stopped = [study.run(8192, seed, steps=240, outcome="stopped") for seed in (1, 2, 3)]
    row = analyse([*study.runs((4096,)), *stopped, *study.runs((12288, 16384))])["loss"]["rows"][1]
    assert row["reached"] == 3 and row["tokens"] == pytest.approx(whole)


def test_failed_runs_and_seeds_without_a_baseline_are_left_out_and_named(make_run: Make) -> None:
    runs = Study(make_run, noise=0.0).runs()
    runs[1] = RunResult("4096-s2", {"batch": "4096"}, 2, "failed", "diverged")
    runs[5] = RunResult("8192-s3", {"batch": "8192"}, 3, "not begun", "the budget was spent")
    found = analyse(runs)
    assert [row["runs"] for row in found["loss"]["rows"]] == [2, 1, 2, 2]
    assert found["notes"][:2] == ["4096-s2 is left out: failed, diverged.", "8192-s3 is left out: not begun, the budget was spent."]
    assert sum("the baseline of its seed did not come to its end" in note for note in found["notes"]) == 6


def test_one_seed_has_values_and_no_interval_and_one_level_no_law(make_run: Make) -> None:
    study = Study(make_run, noise=0.0)
    told = analyse(study.runs(seeds=(1,)))["loss"]
    assert told["spread"] is None and told["freedom"] == 0
    assert told["rows"][2]["token_factor"] == {"value": pytest.approx(factor(12288), rel=4e-3), "low": None, "high": None}
    alone = analyse(study.runs((4096,)))["loss"]
    assert alone["law"] is None and len(alone["rows"]) == 1


def test_nothing_to_compare_is_said_and_no_error(make_run: Make) -> None:
    empty = analyse([])
    assert empty["loss"] is None and "No run with a level" in empty["notes"][0]
    study = Study(make_run)
    cut = analyse([study.run(4096, 1, outcome="stopped", points=()), study.run(8192, 1, points=())])
    assert cut["loss"] is None and cut["bits_per_byte"] is None
    assert cut["notes"] == ["By the training loss nothing is compared: no run of the baseline has one that came to its end."]
    other = analyse([make_run({"mix": "a"}, 1, 2.0)])
    assert other["notes"] == ["No run with a level of the axis 'batch' was trained."]


def test_other_axes_are_blocks_each_with_a_target_of_its_own(make_run: Make) -> None:
    study = Study(make_run, noise=0.0)
    runs = []
    for size, lower in (("small", 0.0), ("large", 0.4)):
        for run in study.runs(seeds=(1,)):
            (stage,) = run.stages
            moved = Stage(**{**stage.__dict__, "losses": [one - lower for one in stage.losses]})
            runs.append(RunResult(**{**run.__dict__, "levels": {**run.levels, "size": size}, "stages": (moved,), "points": ()}))
    told = analyse(runs)["loss"]
    assert [row["runs"] for row in told["rows"]] == [2, 2, 2, 2]
    assert told["rows"][3]["spread"] == pytest.approx(0.0, abs=1e-9)


def test_curves_are_means_over_the_seeds_on_the_stretch_that_all_have(make_run: Make) -> None:
    found = analyse(Study(make_run, noise=0.0).runs())
    for name, scale, shift in (("curves", 1.0, 0.1), ("points", 0.25, 0.02)):
        assert [one["level"] for one in found[name]] == [str(batch) for batch in BATCHES]
        for one in found[name]:
            batch, place = int(one["level"]), len(one["tokens"]) // 2
            assert one["value"][place] == pytest.approx(scale * loss(one["tokens"][place], batch) + shift, rel=3e-3)
            assert one["steps"][place] * batch == pytest.approx(one["tokens"][place])
            assert one["low"][place] < one["value"][place] < one["high"][place]


def test_what_the_report_prints_is_divided_out() -> None:
    small, large = PRINTED["batch_tokens"]
    assert PRINTED["token_factor_by_division"] == pytest.approx(PRINTED["tokens"][1] / PRINTED["tokens"][0])
    assert PRINTED["step_factor_by_division"] == pytest.approx(large / small / PRINTED["token_factor_by_division"])
    b_crit = PRINTED["b_crit_tokens_by_division"]
    assert (1 + large / b_crit) / (1 + small / b_crit) == pytest.approx(1.92)


def overrides(study: StudyConfig, level: Mapping[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in {**study.set, **level}.items()]


def test_the_study_beside_the_recipes_is_valid_and_changes_only_the_batch_and_how_long_it_is_trained() -> None:
    study = StudyConfig.model_validate(yaml.safe_load(STUDY.read_text()))
    levels = study.axes["batch"].levels
    assert levels is not None and list(levels) == [str(batch) for batch in BATCHES]
    assert study.stop.target_level == {"batch": "4096"} and study.analyse.batch_size is not None
    stages = {
        name: load_recipe(STUDY.parent / study.base, overrides(study, level)).recipe.train[0] for name, level in levels.items()
    }
    base = stages["4096"]
    for name, stage in stages.items():
        assert stage.batch_tokens == int(name)
        # The report changes no rate with the batch: update n has the same in all.
        assert [learning_rate(stage.schedule, n, stage.total_steps) for n in (1, 30, 31, 150)] == [
            learning_rate(base.schedule, n, base.total_steps) for n in (1, 30, 31, 150)
        ]
        assert (stage.schedule.kind, stage.schedule.cooldown_steps) == ("rsqrt", 0)
        # A window of the stop rule is no shorter than the one of the analysis, so that what it stops has come to the target.
        if name != "4096":
            assert study.stop.window_steps * stage.batch_tokens >= study.compare.loss_steps * base.batch_tokens
            # Held-out text is measured where the rule may stop a run.
            assert stage.curves is not None and study.stop.window_steps % stage.curves.every_steps == 0
    longest = sum(stage.length_tokens for stage in stages.values()) * len(study.seeds)
    assert study.budget.tokens is not None and longest <= study.budget.tokens <= 30e6
