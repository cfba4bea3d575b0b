"""Curves in a run: what training computes is the same with and without them, and a stopped run has the same lines."""

import json
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.checkpoint.models import load_model
from pellucid.cli.main import main
from pellucid.core.artifacts import find_faults, read_manifest
from pellucid.core.errors import DataError, PellucidWarning, UsageError
from pellucid.core.files import read_json
from pellucid.core.metrics import read_metrics
from pellucid.evals.choices.measure import measure
from pellucid.evals.local import LocalModel
from pellucid.optim.optimizer import build_optimizer
from pellucid.recipe.load import LoadedRecipe, load_recipe
from pellucid.stages.curves import CurvesLog, check_curves, curve_tasks, curves_of
from pellucid.stages.run_folder import final_checkpoint
from pellucid.stages.stage import Context
from pellucid.tokenizer.tokenizer import load_tokenizer
from pellucid.train.state import TrainState

RECIPE = str(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml")
STEPS = 30


def lines(run: Path) -> list[dict[str, Any]]:
    """The lines without the seconds that they took."""
    return [{**line, "seconds": None} for line in read_metrics(run / "pretrain" / "curves.jsonl")]


def losses(run: Path) -> list[tuple[Any, ...]]:
    return [
        (line["step"], line["loss"], line["grad_norm"], line["loss_by_source"])
        for line in read_metrics(run / "pretrain" / "metrics.jsonl")
        if "loss" in line
    ]


def weights(run: Path) -> dict[str, bytes]:
    folder = run / "pretrain" / "checkpoints" / f"step-{STEPS:08d}"
    return {
        name: (folder / name).read_bytes()
        for name in ("model.safetensors", "optimizer.safetensors", "random.safetensors", "state.json")
    }


def untrained(run: Path) -> Path:
    """The run as it was before its first training stage."""
    for path in sorted((run / "pretrain").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (run / "pretrain").rmdir()
    return run


def train(run: Path, *overrides: str) -> int:
    changes = [part for one in overrides for part in ("--set", one)]
    return main(["train", RECIPE, "--runs", str(run.parent), *changes])


def test_a_run_without_curves_trains_to_the_same_bits(finished_run: Path, run_copy: Path) -> None:
    assert train(untrained(run_copy), "train.0.curves=null") == 0
    assert not (run_copy / "pretrain" / "curves.jsonl").exists()
    assert losses(run_copy) == losses(finished_run)
    assert weights(run_copy) == weights(finished_run)


def test_a_line_is_written_before_the_first_step_on_the_way_and_after_the_last(finished_run: Path) -> None:
    assert [line["step"] for line in lines(finished_run)] == list(range(0, STEPS + 1, 3))
    assert [line["tokens"] for line in lines(finished_run)] == list(range(0, 30_721, 3072))
    told = read_manifest(finished_run / "pretrain").summary["curves"]
    assert told["measured"] == 11 and told["seconds"] > 0 and 0 < told["share_of_training"] < 1
    assert find_faults(finished_run / "pretrain") == []


def test_a_stopped_run_has_the_same_lines_and_what_a_kill_left_behind_is_forgotten(
    finished_run: Path, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = CurvesLog.watch

    def stop_at_12(log: CurvesLog, state: TrainState) -> None:
        watch(log, state)
        if state.progress.step == 12:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(CurvesLog, "watch", stop_at_12)
        assert train(untrained(run_copy)) == 128 + signal.SIGTERM
    file = run_copy / "pretrain" / "curves.jsonl"
    assert [line["step"] for line in lines(run_copy)] == [0, 3, 6, 9, 12]
    # As if it had gone on, and had been killed while it wrote.
    file.write_text(file.read_text() + '{"step": 15, "tokens": 1, "seconds": 9, "tasks": {}}\n{"step": 18, "tok')
    assert train(run_copy) == 0
    assert lines(run_copy) == lines(finished_run)
    assert weights(run_copy) == weights(finished_run)
    without_seconds = [
        {key: value for key, value in read_json(run / "pretrain" / "curves.json").items() if key in ("tasks", "between_tasks")}
        for run in (run_copy, finished_run)
    ]
    assert without_seconds[0] == without_seconds[1]


def test_the_last_line_is_what_the_saved_model_scores(finished_run: Path) -> None:
    context = Context(load_recipe(RECIPE), finished_run)
    stage = context.recipe.train[0]
    assert stage.curves is not None
    model, _ = load_model(final_checkpoint(finished_run, stage))
    subject = LocalModel(model, load_tokenizer(finished_run / "tokenizer"))
    found = measure(subject, curve_tasks(stage.curves, context))
    last = lines(finished_run)[-1]["tasks"]
    for name in ("continuation", "perplexity"):
        assert found[name]["digest"] == last[name]["digest"]
        for mine, theirs in zip(found[name]["nats"], last[name]["nats"], strict=True):
            assert mine == pytest.approx(theirs, abs=1e-3)


@pytest.fixture
def measured(finished_run: Path, tmp_path: Path) -> tuple[CurvesLog, TrainState]:
    context = Context(load_recipe(RECIPE), finished_run)
    stage = context.recipe.train[0]
    model, _ = load_model(final_checkpoint(finished_run, stage))
    log = curves_of(stage, context, load_tokenizer(finished_run / "tokenizer"), STEPS, tmp_path)
    assert log is not None
    return log, TrainState(model, build_optimizer(model, stage.optimizer))


def test_measuring_leaves_model_gradients_and_random_numbers_as_they_were(measured: tuple[CurvesLog, TrainState]) -> None:
    log, state = measured
    state.model.train()
    for parameter in state.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = torch.get_rng_state(), {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    log.watch(state)
    assert torch.equal(torch.get_rng_state(), before[0]) and state.model.training and torch.is_grad_enabled()
    assert all(torch.equal(tensor, before[1][name]) for name, tensor in state.model.state_dict().items())
    assert all(torch.equal(one.grad, torch.ones_like(one)) for one in state.model.parameters() if one.grad is not None)


def test_lines_of_steps_that_a_loss_spike_made_void_are_forgotten(measured: tuple[CurvesLog, TrainState], tmp_path: Path) -> None:
    log, state = measured
    for step in (0, 3, 6, 7, 9, 6, 9, 12):
        state.progress.step = step
        log.watch(state)
    log.close()
    assert [line["step"] for line in read_metrics(tmp_path / "curves.jsonl")] == [0, 3, 6, 9, 12]


def test_a_model_without_numbers_is_noted_and_stops_nothing(measured: tuple[CurvesLog, TrainState], tmp_path: Path) -> None:
    log, state = measured
    with torch.no_grad():
        state.model.head_weight.fill_(torch.nan)
    log.watch(state)
    (line,) = read_metrics(tmp_path / "curves.jsonl")
    assert all("no numbers" in task["error"] for task in line["tasks"].values())
    summary = log.finish()
    assert summary["measured"] == 1
    assert len(read_json(tmp_path / "curves.json")["failed"]) == 2


def with_tasks(folder: Path, tasks: str) -> LoadedRecipe:
    return load_recipe(RECIPE, [f"train.0.curves={{tasks: {tasks}, data: {folder}}}"])


def test_files_of_items_are_tasks_and_are_read_before_anything_is_trained(finished_run: Path, tmp_path: Path) -> None:
    item = {"context": "a", "choices": ["b", "c"], "label": 1}
    (tmp_path / "mine.jsonl").write_text(json.dumps(item) + "\n")
    loaded = with_tasks(tmp_path, "[mine.jsonl, perplexity]")
    check_curves(loaded)
    stage = loaded.recipe.train[0]
    assert stage.curves is not None
    assert [task.name for task in curve_tasks(stage.curves, Context(loaded, finished_run))] == ["mine.jsonl", "perplexity"]
    (tmp_path / "mine.jsonl").write_text(json.dumps({**item, "label": 2}) + "\n")
    with pytest.raises(DataError, match=r"mine\.jsonl, line 1: the label is 2"):
        check_curves(loaded)
    with pytest.raises(UsageError, match=r"no file: looked for"):
        check_curves(with_tasks(tmp_path, "[other.jsonl]"))


def test_a_task_that_the_documents_give_no_item_for_is_left_out_with_a_warning(finished_run: Path) -> None:
    loaded = load_recipe(RECIPE, ["train.0.curves={context_words: 100000}"])
    stage = loaded.recipe.train[0]
    assert stage.curves is not None
    with pytest.warns(PellucidWarning, match=r"drawn without continuation: .* no item can be made"):
        tasks = curve_tasks(stage.curves, Context(loaded, finished_run))
    assert [task.name for task in tasks] == ["perplexity"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert curves_of(stage.model_copy(update={"curves": None}), Context(loaded, finished_run), None, 3, finished_run) is None  # type: ignore[arg-type]
