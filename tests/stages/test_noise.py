import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pellucid.checkpoint.models import load_model
from pellucid.core.artifacts import find_faults, read_manifest
from pellucid.core.attempts import read_attempts
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.ledger import read_ledger
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.noise import _micro_seqs, measure_noise
from pellucid.stages.run_folder import data_order, open_recipe
from pellucid.train.feed import micro_batches
from pellucid.train.objectives.next_token import next_token


@pytest.fixture
def tiny_stage() -> TrainStageConfig:
    values = {"name": "a", "length_tokens": 1024, "batch_tokens": 1024, "seq_tokens": 128, "micro_seqs": 8}
    return TrainStageConfig.model_validate({**values, "schedule": {"peak_lr": 1e-3}})


def pretrain(run: Path) -> TrainStageConfig:
    return open_recipe(run).train[0]


def test_every_kept_checkpoint_is_measured_once_and_again_only_when_it_changed(run_copy: Path) -> None:
    found = measure_noise(run_copy, pretrain(run_copy), 16)
    assert [(one["step"], one["tokens"]) for one in found] == [(20, 20_480), (30, 30_720)]
    assert all(one["trace"] > 0 and one["micro_batches"] == 16 and one["micro_tokens"] == 128 for one in found)
    folder = run_copy / "noise"
    assert find_faults(folder) == []
    made = (folder / "manifest.json").read_bytes()
    assert measure_noise(run_copy, pretrain(run_copy), 16) == found
    assert (folder / "manifest.json").read_bytes() == made
    assert [(one.stage, one.outcome) for one in read_attempts(run_copy)][-1] == ("noise", "end")
    assert sum(event.get("stage") == "noise" and event["event"] == "start" for event in read_ledger(run_copy / "ledger.jsonl")) == 1
    (run_copy / "pretrain" / "checkpoints" / "step-00000020").rename(run_copy / "gone")
    (fewer,) = measure_noise(run_copy, pretrain(run_copy), 16)
    assert fewer == found[1]
    assert read_manifest(folder).inputs.keys() == {"shards", "step-00000030"}


def test_the_sequences_lie_behind_the_last_step_and_give_what_their_gradients_give(run_copy: Path) -> None:
    stage, recipe = pretrain(run_copy), open_recipe(run_copy)
    (run_copy / "pretrain" / "manifest.json").unlink()  # as a run that was stopped leaves it
    found = measure_noise(run_copy, stage, 12)[-1]
    told = json.loads((run_copy / "noise" / "noise.json").read_text())
    order = data_order(recipe, stage, run_copy)
    assert told["first_sequence"] == 30 * 8
    model, _ = load_model(run_copy / "pretrain" / "checkpoints" / "step-00000030")
    # Any sequences from there on are of the same kind: the mean square of a gradient is about that of many others.
    squares = []
    batch = order.sequences(told["first_sequence"], 96)
    for micro in micro_batches(batch, 1, torch.device("cpu")):
        model.zero_grad()
        (next_token(model, micro).loss_sum / 128).backward()
        squares.append(sum(float((one.grad.double() ** 2).sum()) for one in model.parameters() if one.grad is not None))
    square = found["trace"] / found["micro_tokens"] + found["gradient_norm_squared"]
    spread = np.std(squares, ddof=1)
    assert abs(square - np.mean(squares)) < 4 * spread * np.sqrt(1 / 12 + 1 / 96)
    assert 0 <= told["repeated_seqs"] <= 12


def test_text_that_is_shorter_than_the_run_is_counted_as_read_before(run_copy: Path) -> None:
    longer = pretrain(run_copy).model_copy(update={"length_tokens": 1024 * 100_000})
    measure_noise(run_copy, longer, 8)
    assert json.loads((run_copy / "noise" / "noise.json").read_text())["repeated_seqs"] == 8


@pytest.mark.parametrize(("seqs", "micro"), [(8, 1), (64, 1), (128, 2), (130, 2), (192, 3), (250, 2), (4096, 8)])
def test_many_sequences_are_taken_several_at_a_time(tiny_stage: TrainStageConfig, seqs: int, micro: int) -> None:
    # No more than training takes at a time, and 64 micro-batches or more.
    assert _micro_seqs(tiny_stage, seqs) == micro


def test_stages_of_conversations_are_refused_and_a_stage_without_checkpoints_has_nothing(run_copy: Path) -> None:
    with pytest.raises(UsageError, match="'sft': the gradient noise scale is measured of stages that train all weights on text"):
        measure_noise(run_copy, open_recipe(run_copy).train[1], 8)
    other = pretrain(run_copy).model_copy(update={"name": "other"})
    assert measure_noise(run_copy, other, 8) == []
    assert not (run_copy / "noise").exists()


def test_a_damaged_checkpoint_is_an_error_that_names_it(run_copy: Path) -> None:
    weights = run_copy / "pretrain" / "checkpoints" / "step-00000020" / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="step-00000020"):
        measure_noise(run_copy, pretrain(run_copy), 8)
