from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.checkpoint.part import Snapshot
from pellucid.core.metrics import read_metrics
from pellucid.core.progress import progress
from pellucid.model.decoder import Decoder, init_weights
from pellucid.optim.optimizer import build_optimizer
from pellucid.recipe.training import SamplesConfig
from pellucid.train.device import Device
from pellucid.train.loop import Task
from pellucid.train.objectives.next_token import next_token
from pellucid.train.recorder import Recorder
from pellucid.train.state import TrainState

SECONDS = {"data": 0.5, "forward_backward": 1.0, "optimizer": 0.5, "other": 9.0}


def sample(model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
    assert not model.training
    return f"{prompt}+{new_tokens} {torch.rand(1).item() >= 0} {seed % 7}"


def make(tiny: Any, **changes: Any) -> tuple[Task, TrainState]:
    stage = tiny.stage(6, **changes)
    model = Decoder(tiny.model)
    init_weights(model, 1)
    state = TrainState(model, build_optimizer(model, stage.optimizer))
    return Task(stage, tiny.order(), next_token, Device(torch.device("cpu"), "fp32")), state


def record(step: int, **changes: Any) -> dict[str, Any]:
    return {"step": step, "loss": 2.0, "skipped": False, "step_tokens": 128, "seconds": dict(SECONDS), **changes}


def test_the_first_line_says_how_figures_are_made_and_speed_leaves_out_what_is_not_training(tiny: Any, tmp_path: Path) -> None:
    task, state = make(tiny)
    recorder = Recorder(tmp_path, task, state)
    with progress("pretrain", 100, "tokens") as bar:
        recorder.show_on(bar, 0)
        recorder.log(record(1))
        recorder.log(record(2, loss=float("nan"), skipped=True))
    recorder.close()
    start, first, second = read_metrics(tmp_path / "metrics.jsonl")
    assert start["event"] == "start"
    assert start["step"] == 0
    assert "6*N" in start["formula"]["mfu_6n"]
    assert first["tokens_per_s"] == 128 / 2.0
    assert first["mfu"] == pytest.approx(64 * start["flops_per_token"]["mfu"] / start["peak_flops"])
    assert first["mfu"] <= 1 and first["peak_flops"] >= start["peak_flops"]
    assert first["mfu"] < first["mfu_6n"] < first["mfu_with_attention"], "an untied embedding is looked up"
    assert first["mfu_6n"] == pytest.approx(64 * 6 * start["parameters"] / start["peak_flops"])
    assert first["memory_bytes"] > 0
    assert second["loss"] is None
    assert not (tmp_path / "samples.jsonl").exists()


def test_resuming_forgets_later_lines_and_keeps_one_line_for_each_step(tiny: Any, tmp_path: Path) -> None:
    task, state = make(tiny)
    recorder = Recorder(tmp_path, task, state)
    for step in range(1, 5):
        recorder.log(record(step))
    recorder.close()
    state.progress.step = 2
    recorder = Recorder(tmp_path, task, state, resumed_from=Path("checkpoints/step-00000002"))
    recorder.log(record(3, loss=1.5))
    recorder.close()
    lines = list(read_metrics(tmp_path / "metrics.jsonl"))
    assert [(line["step"], line.get("event")) for line in lines] == [(0, "start"), (1, None), (2, None), (2, "resume"), (3, None)]
    assert lines[3]["checkpoint"] == "step-00000002"
    assert lines[4]["loss"] == 1.5
    recorder = Recorder(tmp_path, task, state, resumed_from=Snapshot(2, torch.empty(0)))
    recorder.close()
    line = list(read_metrics(tmp_path / "metrics.jsonl"))[-1]
    assert (line["event"], line["step"], line["memory_step"]) == ("resume", 2, 2) and "checkpoint" not in line


def test_a_run_that_was_cut_off_before_its_first_checkpoint_starts_a_new_log(tiny: Any, tmp_path: Path) -> None:
    task, state = make(tiny)
    for _ in range(2):
        recorder = Recorder(tmp_path, task, state)
        recorder.log(record(1))
        recorder.close()
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [0, 1]


def test_samples_are_due_every_so_many_steps_and_at_the_end_and_are_made_again_after_resuming(tiny: Any, tmp_path: Path) -> None:
    task, state = make(tiny, samples=SamplesConfig(every_steps=4, prompts=("A", "B"), new_tokens=3))
    recorder = Recorder(tmp_path, task, state, sample=sample)
    random_state = torch.get_rng_state()
    for step in range(7):
        state.progress.step = step
        recorder.watch(state)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert state.model.training
    recorder.close()
    whole = (tmp_path / "samples.jsonl").read_bytes()
    lines = list(read_metrics(tmp_path / "samples.jsonl"))
    assert [(line["step"], line["prompt"]) for line in lines] == [(4, "A"), (4, "B"), (6, "A"), (6, "B")]
    assert lines[0]["text"].startswith("A+3")
    state.progress.step = 4
    recorder = Recorder(tmp_path, task, state, resumed_from=Path("x"), sample=sample)
    for step in (4, 5, 6):
        state.progress.step = step
        recorder.watch(state)
    recorder.close()
    assert (tmp_path / "samples.jsonl").read_bytes() == whole
