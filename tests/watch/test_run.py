import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pellucid.core.errors import UsageError
from pellucid.watch.run import RunWatch

STAGES = [
    {"name": "pretrain", "length_tokens": 4096 * 99 + 1, "batch_tokens": 4096, "length_epochs": None},
    {"name": "sft", "length_tokens": 1, "batch_tokens": 4096, "length_epochs": 2.0},
]


def recipe(run: Path, stages: object = STAGES) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.resolved.yaml").write_text(yaml.safe_dump({"name": "x", "train": stages}))


def test_stages_come_from_the_recipe_and_lengths_from_recipe_or_metrics(training: Callable, tmp_path: Path) -> None:
    recipe(tmp_path / "run")
    training("run/pretrain", steps=None).train(1, 10)
    training("run/pretrain.superseded-1").train(1, 50)
    run = RunWatch(tmp_path / "run")
    run.read_all()
    assert list(run.stages) == ["pretrain", "sft"]
    assert run.current == "pretrain"
    state = run.state("pretrain")
    assert (state.kind, state.step, state.steps, state.share) == ("training", 10, 100, 0.1)
    assert state.left_s == pytest.approx(90 * 0.4, abs=0.5)
    assert run.state("sft").kind == "waiting"
    assert run.state("sft").steps is None


def test_the_stage_at_work_is_the_one_written_to_last(training: Callable, tmp_path: Path) -> None:
    recipe(tmp_path / "run")
    training("run/sft", steps=7).train(1, 7).age(500)
    training("run/pretrain").train(1, 10)
    run = RunWatch(tmp_path / "run")
    run.read_all()
    assert run.current == "pretrain"
    assert run.state("sft").steps == 7


def test_a_run_that_is_silent_says_for_how_long(training: Callable, tmp_path: Path) -> None:
    training().train(1, 10).age(180)
    run = RunWatch(tmp_path / "run")
    run.read_all()
    state = run.state("pretrain")
    assert state.kind == "quiet"
    assert 178 < state.quiet_s < 190
    assert state.left_s is None


def test_slow_steps_are_waited_for_longer(training: Callable, tmp_path: Path) -> None:
    seconds = {"data": 0.0, "forward_backward": 60.0, "optimizer": 0.0, "other": 0.0}
    training().train(1, 10, seconds=seconds).age(180)
    run = RunWatch(tmp_path / "run")
    run.read_all()
    assert run.state("pretrain").kind == "training"


def test_a_finished_stage_has_the_steps_that_it_took(training: Callable, tmp_path: Path) -> None:
    written = training(steps=None).train(1, 12)
    (written.folder / "manifest.json").write_text("{}")
    run = RunWatch(tmp_path / "run")
    run.read_all()
    state = run.state("pretrain", time.time() + 10**6)
    assert (state.kind, state.steps, state.share, state.left_s) == ("ended", 12, 1.0, None)


def test_a_single_stage_and_a_run_without_a_recipe_can_be_watched(training: Callable, tmp_path: Path) -> None:
    training().train(1, 3)
    stage = RunWatch(tmp_path / "run/pretrain")
    stage.read_all()
    assert stage.name == "run/pretrain"
    assert stage.is_stage
    assert stage.stages["pretrain"].account.step == 3
    bare = RunWatch(tmp_path / "run")
    bare.read_all()
    assert list(bare.stages) == ["pretrain"]
    assert bare.bytes_read == stage.bytes_read


@pytest.mark.parametrize("broken", ["[1, 2", "train: 7", "train: [{name: ../../etc}]", "train: [7]", "- x", ""])
def test_a_recipe_that_cannot_be_read_stops_nothing(training: Callable, tmp_path: Path, broken: str) -> None:
    training().train(1, 3)
    (tmp_path / "run/recipe.resolved.yaml").write_text(broken)
    run = RunWatch(tmp_path / "run")
    run.read_all()
    assert list(run.stages) == ["pretrain"]


def test_a_run_that_has_not_begun_is_waited_for(training: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunWatch(tmp_path / "run")
    assert not run.poll()
    assert run.current is None
    recipe(tmp_path / "run")
    training().train(1, 2)
    run._looked_at = -1e9
    assert run.poll()
    assert run.current == "pretrain"
    assert run.state("pretrain").step == 2
    run.close()


def test_a_path_under_which_nothing_can_come_up_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "no/such/run"):
        with pytest.raises(UsageError, match="not the folder of a run"):
            RunWatch(path)


def test_stages_are_not_named_after_what_could_leave_the_run(training: Callable, tmp_path: Path) -> None:
    training().train(1, 2)
    (tmp_path / "elsewhere").mkdir()
    recipe(tmp_path / "run", [{"name": "../elsewhere"}, {"name": ".hidden"}, {"name": "pretrain"}])
    run = RunWatch(tmp_path / "run")
    run.read_all()
    assert list(run.stages) == ["pretrain"]
