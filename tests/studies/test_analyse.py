import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pellucid.recipe.study import StudyConfig
from pellucid.studies.analyse import analyse, metric_of
from pellucid.studies.results import Cost, RunResult, Stage

Make = Callable[..., RunResult]
CONFIG = StudyConfig.model_validate(
    {"kind": "study", "name": "s", "base": "b", "axes": {"x": {"key": "k", "values": ["a", "b"], "baseline": "b"}}}
)


def test_effects_come_by_axis_and_by_group_and_are_plain_json(make_run: Make) -> None:
    runs = [
        make_run({"x": x}, seed, value + seed / 100, {"language": {"de": value + 1, "fr": 3.0}}, cost=Cost(tokens=10, cpu_s=36.0))
        for x, value in (("a", 2.0), ("b", 2.5))
        for seed in (1, 2, 3)
    ]
    found = analyse(CONFIG, [*runs, RunResult("a-s4", {"x": "a"}, 4, "failed", "diverged")])
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))
    [axis] = found["effects"]["axes"]
    assert (axis["axis"], axis["baseline"]) == ("x", "b")
    assert axis["rows"][0]["difference"] == pytest.approx(-0.5)
    german = found["effects"]["by_group"]["language"]["de"][0]
    assert german["rows"][0]["difference"] == pytest.approx(-0.5)
    assert german["rows"][0]["mean"] == pytest.approx(3.02 - 0.02)
    french = found["effects"]["by_group"]["language"]["fr"][0]
    assert french["rows"][0]["verdict"] == "cannot be told apart"
    assert found["cost"]["outcomes"] == {"done": 6, "stopped": 0, "failed": 1, "unfinished": 0, "not begun": 0}
    assert (found["cost"]["tokens"], found["cost"]["cpu_hours"]) == (60, pytest.approx(0.06))
    assert found["runs"][-1]["metric"] is None


def test_runs_may_be_compared_by_their_last_training_losses(make_run: Make) -> None:
    config = CONFIG.model_copy(update={"compare": CONFIG.compare.model_copy(update={"metric": "loss", "loss_steps": 2})})
    stage = Stage("p", 3, 1, 1, {}, (1, 2, 3), (0.1,) * 3, (9.0, 4.0, 2.0), (1.0,) * 3)
    run = make_run({"x": "a"}, 1, 2.0, stages=(stage,))
    assert metric_of(config)(run) == pytest.approx(3.0)
    assert analyse(config, [run])["effects"]["by_group"] == {}
    # Also where no text is held out: a base that learns from conversations alone.
    runs = [
        make_run({"x": x}, seed, 2.0, stages=(replace(stage, losses=(9.0, loss, loss + seed / 10)),), table=None)
        for x, loss in (("a", 3.0), ("b", 2.0))
        for seed in (1, 2)
    ]
    told = analyse(config, runs)["effects"]
    assert told["runs"] == 4
    assert told["axes"][0]["rows"][0]["difference"] == pytest.approx(1.0)


def test_settings_that_differ_are_told_with_the_runs_that_had_them(make_run: Make) -> None:
    one, two = ({"stage": "p", "settings": {"threads": threads}} for threads in (1, 2))
    second = {"stage": "q", "settings": {"threads": 2}}
    made = {1: (two, second), 2: (one, second), 3: (one, two), 4: (one,)}
    runs = [replace(make_run({"x": "a"}, seed, 2.0), made_with=settings) for seed, settings in made.items()]
    found = analyse(CONFIG, runs)["made_with"]
    names = [run.name for run in runs]
    assert found == [
        {**one, "runs": names[1:]},
        {**two, "runs": [names[0], names[2]]},
        {**second, "runs": names[:2]},
    ]


def test_what_a_finished_study_says_is_what_its_runs_say(finished_study: Path) -> None:
    found = json.loads((finished_study / "results/study.json").read_text())
    assert [axis["axis"] for axis in found["effects"]["axes"]] == ["peak", "length"]
    by_name = {run["name"]: run["metric"] for run in found["runs"]}
    differences = found["effects"]["axes"][1]["rows"][1]["paired"]
    for seed, told in zip((1, 2), differences, strict=True):
        each = [by_name[f"{peak}-6144-s{seed}"] - by_name[f"{peak}-12288-s{seed}"] for peak in ("0.003", "0.01")]
        assert told == pytest.approx(sum(each) / 2)
    assert found["cost"]["tokens"] == 4 * (12_288 + 2048)
    assert found["cost"]["shared_tokens"] == 4 * 4096
