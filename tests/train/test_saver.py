import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.batches.batch import Batch
from pellucid.batches.order import DataOrder
from pellucid.checkpoint.files import load_checkpoint
from pellucid.checkpoint.slots import ram_folder
from pellucid.core.errors import TrainingError
from pellucid.core.metrics import read_metrics
from pellucid.recipe.training import CheckpointConfig, ScheduleConfig, TrainStageConfig
from pellucid.train.device import Device
from pellucid.train.stage import run_stage


def lines(out: Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(out / "metrics.jsonl") if "loss" in line]


@pytest.mark.slow
def test_a_stage_goes_on_from_one_to_two_to_four_ranks_and_back_with_the_same_data_and_losses(tmp_path: Path, ranks: Any) -> None:
    ranks(1, ranks.job(tmp_path / "alone", 12))
    elastic = tmp_path / "elastic"
    plan = [(1, "none", 3), (2, "zero1", 5), (4, "full", 8), (2, "none", 10), (1, "none", None)]
    for size, shard, stop in plan:
        signal_at = {} if stop is None else {"signal_at": [size - 1, stop - 1]}
        [outcome] = ranks(size, ranks.job(elastic, 12, parallel={"shard": shard}, **signal_at), anew=True)
        if stop is not None:
            assert outcome["error"] == "StoppedError"
            assert f"after step {stop} of 12" in outcome["message"]
            assert f"step-{stop:08d}" in outcome["message"]
    assert [line["step"] for line in lines(elastic)] == list(range(1, 13))
    losses, expected = ([line["loss"] for line in lines(out)] for out in (elastic, tmp_path / "alone"))
    assert losses == pytest.approx(expected, abs=1e-5)
    receipts = [json.loads((out / "receipt.json").read_text()) for out in (tmp_path / "alone", elastic)]
    assert receipts[0]["consumed"] == receipts[1]["consumed"]
    a, b = (load_checkpoint(out / "checkpoints/step-00000012")[0]["model"] for out in (tmp_path / "alone", elastic))
    for name, tensor in a.items():
        torch.testing.assert_close(b[name], tensor, atol=1e-5, rtol=1e-4)


def test_a_loss_that_is_no_number_on_one_rank_skips_that_step_on_all_and_names_the_batch(tmp_path: Path, ranks: Any) -> None:
    jobs = [
        ranks.job(tmp_path / name, 6, spoil_at=[1, 3], **changes)
        for name, changes in {"zero1": {"parallel": {"shard": "zero1"}}, "exact": {"exact": True}}.items()
    ]
    again = ranks.job(tmp_path / "zero1", 6, parallel={"shard": "full"})
    outcomes = ranks(2, *jobs, again)
    assert [outcome["skipped_steps"] for outcome in outcomes] == [1, 1, 1]
    for name in ("zero1", "exact"):
        skipped = [line for line in lines(tmp_path / name) if line["skipped"]]
        assert [(line["step"], line["sequences"]) for line in skipped] == [(4, [24, 31])]
        state = load_checkpoint(tmp_path / name / "checkpoints/step-00000006")[0]
        moments = [tensor for kept in state["optimizer"].values() for tensor in kept.values()]
        assert all(tensor.isfinite().all() for tensor in [*moments, *state["model"].values()])
        assert {float(kept["step"]) for kept in state["optimizer"].values()} == {5.0}


class PulledPlugError(Exception):
    """What no part of Pellucid foresees: the state in memory is all that is left."""


class Unplugged(DataOrder):
    """An order of data that fails when a step from `at` on (from 0) is asked for, while the one before is computed."""

    at = 1000

    def sequences(self, first: int, count: int) -> Batch:
        if first // count >= self.at:
            raise PulledPlugError
        return super().sequences(first, count)


@pytest.fixture
def pulled(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trains `tmp_path/out` until the plug is pulled at a step, or to the end; returns the steps it went on from so far."""
    monkeypatch.setenv("PELLUCID_MEMORY_DIR", str(tmp_path))
    monkeypatch.setattr(Device, "peak_flops", lambda _: (1e9, "not measured in tests"))
    out = tmp_path / "out"

    def train(stage: TrainStageConfig, at: int | None = None) -> list[tuple[str, int]]:
        order = tiny.order()
        order.__class__, order.at = Unplugged, stage.total_steps if at is None else at
        try:
            run_stage(stage, tiny.model, order, 1, out)
        except PulledPlugError:
            assert at is not None
        resumes = [line for line in read_metrics(out / "metrics.jsonl") if line.get("event") == "resume"]
        return [("memory" if "memory_step" in line else line["checkpoint"], line["step"]) for line in resumes]

    return train


def test_a_stage_goes_on_from_the_newer_of_disk_and_memory_and_gives_memory_back(tiny: Any, tmp_path: Path, pulled: Any) -> None:
    stage = tiny.stage(12, checkpoint=CheckpointConfig(every_steps=5, memory_every_steps=2))
    ram = ram_folder(tmp_path / "out")
    run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "whole")
    assert not ram_folder(tmp_path / "whole").exists()
    assert pulled(stage, 4) == [] and ram.is_dir()
    assert pulled(stage, 6) == [("memory", 2)]
    assert pulled(stage, 7)[1:] == [("step-00000005", 5)]
    assert pulled(stage, 11)[2:] == [("memory", 6)]
    assert pulled(stage)[3:] == [("step-00000010", 10)], "where both have the same step, the disk is taken"
    losses, expected = ([(line["step"], line["loss"]) for line in lines(tmp_path / name)] for name in ("out", "whole"))
    assert losses == expected
    a, b = (load_checkpoint(tmp_path / name / "checkpoints/step-00000012")[0] for name in ("out", "whole"))
    assert a["progress"] == b["progress"]
    assert all(torch.equal(a["model"][name], tensor) for name, tensor in b["model"].items())
    assert not ram.exists()


def test_snapshots_of_another_recipe_or_of_a_folder_that_was_set_aside_are_not_taken(
    tiny: Any, tmp_path: Path, pulled: Any
) -> None:
    checkpoint = CheckpointConfig(memory_every_steps=2)
    stage = tiny.stage(6, checkpoint=checkpoint)
    other = tiny.stage(6, checkpoint=checkpoint, schedule=ScheduleConfig(peak_lr=1e-3))
    pulled(stage, 5)
    (tmp_path / "out").rename(tmp_path / "out.superseded-1")
    assert pulled(stage, 5) == [], "a new folder begins anew"
    assert pulled(other, 5) == []
    assert pulled(other, 5) == [("memory", 4)]
    assert pulled(stage) == [], "what the first recipe left is gone"


def test_a_run_that_diverged_gives_memory_back(tiny: Any, tmp_path: Path, pulled: Any) -> None:
    wild = ScheduleConfig(kind="constant", peak_lr=1e25)
    with pytest.raises(TrainingError):
        pulled(tiny.stage(40, max_bad_steps=2, schedule=wild, checkpoint=CheckpointConfig(memory_every_steps=1)))
    assert not ram_folder(tmp_path / "out").exists()


def test_adapters_are_trained_by_two_ranks_as_by_one_and_kept_in_memory_as_well(tmp_path: Path, ranks: Any) -> None:
    adapter = {"rank": 4, "quantize": "int8", "targets": ["query", "up", "down"]}
    checkpoint = {"every_steps": 3, "memory_every_steps": 2}
    for size in (1, 2):
        [summary] = ranks(size, ranks.job(tmp_path / str(size), adapter=adapter, checkpoint=checkpoint))
        assert summary["steps"] == 6
    (one, _), (two, meta) = (load_checkpoint(tmp_path / f"{size}/checkpoints/step-00000006") for size in (1, 2))
    assert meta["adapter"]["quantize"] == "int8"
    assert one["model"].keys() == two["model"].keys()
    assert one["model"]["blocks.0.mlp.up.weight_int8"].dtype == torch.int8
    for name, tensor in one["model"].items():
        if ".lora_" in name:
            torch.testing.assert_close(two["model"][name], tensor, rtol=0, atol=1e-5)
        else:
            assert torch.equal(two["model"][name], tensor)
