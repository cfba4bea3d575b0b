"""The analysis of schedules as a whole, and that the study in recipes/studies asks what can be answered."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pellucid.optim.schedules import learning_rate
from pellucid.recipe.load import load_recipe
from pellucid.recipe.study import CompareConfig, SchedulesAnalysis, StudyConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.studies.results import RunResult, runs_from_json
from pellucid.studies.schedules.analyse import analyse_schedules

Make = Callable[..., RunResult]
STUDY = Path(__file__).parents[3] / "recipes" / "studies" / "schedules.yaml"
CONFIG = SchedulesAnalysis(length="length", trunk="hyb")
NAMES, LENGTHS = ("cosine", "rsqrt", "hyb", "hyb2"), ("short", "middle", "long")
BRANCH = {"short": 19, "middle": 37, "long": 1}


def value(schedule: str, length: str, seed: int) -> float:
    return 2.0 + {"short": 0.4, "middle": 0.2, "long": 0.0}[length] + 0.02 * NAMES.index(schedule) + 0.01 * seed


@pytest.fixture
def runs(schedule_run: Make) -> list[RunResult]:
    """Every schedule at every length with three seeds; all but cosine branch off their longest run."""
    return [
        schedule_run(name, length, seed, value(name, length, seed), 1 if name == "cosine" else BRANCH[length])
        for length in LENGTHS
        for name in NAMES
        for seed in (1, 2, 3)
    ]


def analysed(runs: list[RunResult], config: SchedulesAnalysis = CONFIG, **compare: Any) -> dict[str, Any]:
    found = analyse_schedules(runs, config, CompareConfig(**compare))
    # Plain values only, none of them not a number.
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def test_every_schedule_and_length_has_its_rates_means_losses_and_ends(runs: list[RunResult]) -> None:
    found = analysed(runs)
    assert found["schedules"] == list(NAMES) and found["baseline"] == "cosine" and found["seeds"] == [1, 2, 3]
    assert [one["tokens"] for one in found["lengths"]] == [2000, 4000, 8000] and found["longest"] == "long"
    drawn = {(row["schedule"], row["length"]) for row in found["rates"]}
    assert drawn == {(name, length) for name in ("cosine", "hyb") for length in LENGTHS} | {(name, "long") for name in NAMES}
    assert {(row["schedule"], row["length"]) for row in found["losses"]} == drawn
    assert all(row["departure"] == 0 and None not in row["used"] for row in found["rates"])
    assert len(found["means"]) == 12 and all(row["used"] == pytest.approx(row["planned"], rel=0.03) for row in found["means"])
    for at in found["finals"]:
        assert [row["mean"] for row in at["rows"]] == pytest.approx([value(name, at["length"], 2) for name in NAMES])
    assert found["claim"]["verdict"] == "beyond 1 %" and found["claim"]["worst"] == "hyb2" and found["claim"]["length"] == "long"
    assert found["kinds"] == {name: name for name in NAMES} and found["claim_of_report"]["worst"] == "hyb2"
    assert [one["length"] for one in found["by_mean"]] == list(LENGTHS) and found["notes"] == []


def test_a_shared_trunk_is_judged_at_its_longest_length_alone(schedule_run: Make) -> None:
    """Far apart at the short length, where hyb2 is a cosine yet; close at the long one."""
    apart = {"short": 0.2, "middle": 0.1, "long": 0.001}
    runs = [
        schedule_run(name, length, seed, 2.0 + apart[length] * NAMES.index(name) + 1e-5 * (seed * (NAMES.index(name) + 1) % 3))
        for length in LENGTHS
        for name in NAMES
        for seed in (1, 2, 3)
    ]
    found = analysed(runs)
    assert found["judged_at"] == ["long"] and found["claim"]["length"] == found["claim_of_report"]["length"] == "long"
    assert found["claim"]["verdict"] == found["claim_of_report"]["verdict"] == "within 1 %"
    assert [at["length"] for at in found["finals"]] == list(LENGTHS)
    assert {(row["schedule"], row["length"]) for row in found["not_turned"]} == {
        *(("hyb", "short"), ("hyb2", "short"), ("hyb2", "middle"))
    }
    assert found["common_peak"] == 1e-3
    free = analysed(runs, SchedulesAnalysis(length="length"))
    assert free["judged_at"] == list(LENGTHS) and free["claim"]["length"] == "short"
    assert free["claim"]["verdict"] == "beyond 1 %"


def test_what_a_trunk_saves_is_what_its_runs_did_not_train_themselves(runs: list[RunResult]) -> None:
    trunk = analysed(runs)["trunk"]
    assert trunk["trained_tokens"] == 3 * 100 * (80 + 4 + 2) and trunk["separate_tokens"] == 3 * 100 * (80 + 40 + 20)
    assert trunk["saved"] == pytest.approx(1 - 86 / 140)
    assert trunk["baseline_tokens"] == trunk["separate_tokens"] and trunk["runs"] == trunk["baseline_runs"] == 9
    short, middle, long = trunk["rows"]
    assert [row["trained_tokens"] for row in trunk["rows"]] == [600, 1200, 24_000]
    assert [(row["common_steps"], row["steps"]) for row in trunk["rows"]] == [(18, 20), (36, 40), (80, 80)]
    assert short["difference"] == pytest.approx(0.04) and short["verdict"] == "worse"
    assert (middle["trunk"], middle["baseline"]) == pytest.approx((2.26, 2.22))
    assert long["relative"] == pytest.approx(0.04 / 2.02)


def test_a_trunk_that_shared_nothing_is_told_and_so_is_one_without_runs(schedule_run: Make) -> None:
    runs = [schedule_run(name, length, 1, 2.0) for name in ("cosine", "hyb") for length in LENGTHS]
    found = analysed(runs)
    assert (
        found["trunk"]["saved"] == 0 and "The runs of hyb shared nothing: each was trained from its first step." in found["notes"]
    )
    none = analysed(runs, SchedulesAnalysis(length="length", trunk="wsd"))
    assert none["trunk"] is None and "No run has the trunk's schedule, wsd." in none["notes"]
    assert {row["length"] for row in none["rates"]} == {"long"}


def test_the_metric_is_the_one_asked_for(runs: list[RunResult]) -> None:
    found = analysed(runs, metric="loss", loss_steps=5)
    values = {row["level"]: row["values"] for row in found["finals"][2]["rows"]}
    assert values["hyb"] == pytest.approx([run.final_loss(5) for run in runs if run.name.startswith("hyb-long")])
    assert found["metric"] == "loss" and found["loss_steps"] == 5
    last = next(row for row in found["losses"] if (row["schedule"], row["length"]) == ("hyb", "long"))
    assert last["mean"][-1] == pytest.approx(sum(values["hyb"]) / 3)


def test_runs_that_did_not_end_are_left_out_and_named(schedule_run: Make, runs: list[RunResult]) -> None:
    lost = schedule_run(
        "rsqrt", "long", 1, 2.0, outcome="failed", table=None, message="the loss was no number at step 12", stages=()
    )
    unscored = schedule_run("hyb", "short", 2, 2.0, table=None)
    kept = [run for run in runs if run.name not in (lost.name, unscored.name) and not run.name.startswith("hyb2-middle")]
    cut = schedule_run("hyb2", "middle", 1, 2.0, outcome="stopped")
    found = analysed([*kept, lost, unscored, cut])
    assert found["notes"][:4] == [
        "rsqrt-long-s1 is left out: failed, the loss was no number at step 12.",
        "hyb-short-s2 is left out: done, it was not scored.",
        "hyb2-middle-s1 is left out: stopped.",
        "No run at middle came to its length of hyb2.",
    ]
    rows = {row["level"]: row for row in found["finals"][2]["rows"]}
    assert rows["rsqrt"]["seeds"] == [2, 3] and rows["rsqrt"]["difference"] == pytest.approx(0.02)
    middle = {row["level"]: row for row in found["finals"][1]["rows"]}
    assert middle["hyb2"]["mean"] is None and middle["hyb2"]["verdict"] == "not compared"


@pytest.mark.parametrize("config", [SchedulesAnalysis(), CONFIG, SchedulesAnalysis(schedule="elsewhere")])
def test_little_or_nothing_gives_notes_not_errors(schedule_run: Make, make_run: Make, config: SchedulesAnalysis) -> None:
    alone = schedule_run("cosine", "long", 1, 2.0)
    for runs in ([], [alone], [make_run({"batch": "4"}, 1, 2.0)], [schedule_run("hyb", "long", 1, 2.0, stages=(), table=None)]):
        found = analysed(runs, config)
        assert found["claim"] is None and found["printed"]["search"]["fitting"]
        assert not runs or found["notes"]
    assert any("One seed only" in note for note in analysed([alone])["notes"])
    assert any("only one schedule" in note for note in analysed([alone])["notes"])


def test_results_that_were_written_and_read_give_the_same(runs: list[RunResult]) -> None:
    again = runs_from_json(json.loads(json.dumps([run.to_json() for run in runs])))
    assert analyse_schedules(again, CONFIG, CompareConfig()) == analysed(runs)


def test_runs_that_were_really_made_used_the_planned_rates_and_shared_their_trunk(finished_study: Path) -> None:
    """Two rates at two lengths, the shorter cooled down from a checkpoint of the longer."""
    runs = runs_from_json(json.loads((finished_study / "results" / "runs.json").read_text()))
    found = analysed(runs, SchedulesAnalysis(schedule="peak", length="length", trunk="0.003"))
    assert found["notes"] == [] and [one["length"] for one in found["lengths"]] == ["6144", "12288"]
    assert all(row["departure"] == pytest.approx(0.0, abs=1e-12) for row in found["rates"])
    assert all(row["used"] is not None for row in found["means"])
    short, long = found["trunk"]["rows"]
    assert short["common_steps"] == short["steps"] - math.ceil(short["steps"] / 4) and long["common_steps"] == long["steps"]
    shared = sum(run.cost.shared_tokens for run in runs if run.levels["peak"] == "0.003")
    assert 0 < shared == found["trunk"]["separate_tokens"] - found["trunk"]["trained_tokens"]
    assert all(row["mean"] is not None for at in found["finals"] for row in at["rows"])


def planned(schedule: str, length: str) -> TrainStageConfig:
    """One run's stage of the study that is shipped: later axes win where two set one key."""
    study = StudyConfig.model_validate(yaml.safe_load(STUDY.read_text()))
    levels = {name: axis.levels or {} for name, axis in study.axes.items()}
    settings = {**study.set, **levels["schedule"][schedule], **levels["length"][length]}
    (stage,) = load_recipe(
        STUDY.parent / study.base, [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    ).recipe.train
    return stage


def test_the_study_that_is_shipped_shares_trunks_exactly_up_to_checkpoints_and_keeps_to_its_tokens() -> None:
    study = StudyConfig.model_validate(yaml.safe_load(STUDY.read_text()))
    assert study.analyse.schedules is not None and study.analyse.schedules.trunk == "hyb" and len(study.seeds) == 3
    schedules, lengths = (list(axis.levels or {}) for axis in study.axes.values())
    assert schedules[0] == study.axes["schedule"].baseline == "cosine" and {*schedules} == {*NAMES}
    steps = 0
    for name in schedules:
        stages = [planned(name, length) for length in lengths]
        longest = stages[-1]
        for stage in stages:
            total, branch = stage.total_steps, stage.total_steps - stage.schedule.cooldown_steps
            assert learning_rate(stage.schedule, total, total) == pytest.approx(0.0, abs=1e-12)
            alike = [
                step
                for step in range(1, total + 1)
                if learning_rate(stage.schedule, step, total) == learning_rate(longest.schedule, step, longest.total_steps)
            ]
            shared = 0
            if name != "cosine" and stage is not longest:
                assert stage.schedule.cooldown_steps == total / 10 and alike == list(range(1, branch + 1))
                assert branch % stage.checkpoint.every_steps == branch % (stage.checkpoint.keep_every_steps or 0) == 0
                shared = branch
            steps += total - shared
    tokens = len(study.seeds) * steps * longest.batch_tokens
    assert study.budget.tokens is not None and tokens <= study.budget.tokens == 30e6
