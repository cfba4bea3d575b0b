import json
import os
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.batches.batch import Batch
from pellucid.batches.order import DataOrder
from pellucid.checkpoint.files import load_checkpoint
from pellucid.core.errors import PellucidWarning, StoppedError, TrainingError
from pellucid.core.metrics import read_metrics
from pellucid.recipe.training import CheckpointConfig, ScheduleConfig, SpikesConfig
from pellucid.train.device import Device
from pellucid.train.spikes import LossSpike, SkipList, watch_for_spike
from pellucid.train.stage import run_stage
from pellucid.train.state import Progress

ON = SpikesConfig(deviations=8, window_steps=30, patience_steps=3)


def feed(losses: list[float], config: SpikesConfig = ON) -> LossSpike | None:
    progress = Progress()
    for loss in losses:
        progress.step += 1
        try:
            watch_for_spike(progress, config, loss)
        except LossSpike as spike:
            return spike
        assert len(progress.recent_losses) <= config.window_steps
    return None


def falling(steps: int) -> list[float]:
    noise = random.Random(0)
    return [3 + 2 * 0.99**step + noise.gauss(0, 0.05) for step in range(steps)]


@given(start=st.integers(20, 150), height=st.floats(1.0, 50))
def test_three_high_losses_in_a_row_are_a_spike_from_the_first_of_them(start: int, height: float) -> None:
    losses = falling(200)
    losses[start : start + 3] = [5 + height] * 3
    spike = feed(losses)
    assert spike is not None
    assert (spike.first, spike.last, spike.losses) == (start + 1, start + 3, (5 + height,) * 3)
    assert spike.usual == pytest.approx(3 + 2 * 0.99**start, abs=0.5)


@given(places=st.sets(st.integers(20, 60).map(lambda n: 3 * n), max_size=12))
def test_a_falling_loss_with_noise_and_single_high_losses_is_none(places: set[int]) -> None:
    losses = falling(200)
    for place in places:
        losses[place] += 3
    assert feed(losses) is None


def test_what_is_off_or_too_early_or_a_plateau_raises_nothing() -> None:
    assert feed([3.0] * 50 + [99.0] * 50, SpikesConfig()) is None
    assert feed([3.0] * 10 + [99.0] * 5) is None
    assert feed([3.0] * 100) is None


class Noise:
    """Makes batches of random bytes of some steps, as a broken source would, and stops the process at one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: set[int] = set()
        self.stop_after: int | None = None
        read = DataOrder.sequences

        def sequences(order: DataOrder, first: int, count: int) -> Batch:
            step, batch = first // 4 + 1, read(order, first, count)
            if self.stop_after == step - 1:  # a step is read while the one before is computed
                os.kill(os.getpid(), signal.SIGTERM)
            if step not in self.steps:
                return batch
            ids_BT = np.random.default_rng(step).integers(0, 256, batch.ids_BT.shape)
            return replace(batch, ids_BT=ids_BT, targets_BT=np.roll(ids_BT, -1, 1))

        monkeypatch.setattr(DataOrder, "sequences", sequences)


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> Noise:
    monkeypatch.setattr(Device, "peak_flops", lambda _: (1e9, "not measured in tests"))
    return Noise(monkeypatch)


def stage_of(tiny: Any, **changes: Any) -> Any:
    spikes = SpikesConfig(**{"deviations": 6, "window_steps": 20, "patience_steps": 2, "max_rollbacks": 2, **changes})
    schedule, checkpoint = ScheduleConfig(kind="constant", peak_lr=3e-3), CheckpointConfig(every_steps=5, keep_last=3)
    return tiny.stage(48, spikes=spikes, schedule=schedule, checkpoint=checkpoint)


def lines(out: Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(out / "metrics.jsonl") if "loss" in line]


def final_bytes(out: Path) -> list[bytes]:
    folder = out / "checkpoints" / "step-00000048"
    return [(folder / f"{section}.safetensors").read_bytes() for section in ("model", "optimizer")]


def test_a_spike_is_rolled_back_its_batches_passed_over_and_the_run_stays_replayable(
    tiny: Any, tmp_path: Path, noise: Noise
) -> None:
    noise.steps = {36, 37}
    stage = stage_of(tiny)
    with pytest.warns(PellucidWarning, match=r"loss spike in steps 36 to 37: .*back to .*step-00000030"):
        summary = run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "a")
    assert summary["skipped_steps"] == 3
    assert [line["step"] for line in lines(tmp_path / "a")] == list(range(1, 49)), "every step is logged exactly once"
    skipped = [(line["step"], line["reason"], line["sequences"]) for line in lines(tmp_path / "a") if line["skipped"]]
    assert skipped == [(step, "loss spike", [4 * step - 4, 4 * step - 1]) for step in (35, 36, 37)]
    [spike] = json.loads((tmp_path / "a" / "skips.json").read_text())
    assert (spike["first_skipped"], spike["last_skipped"], spike["rolled_back_to"]) == (35, 37, 30)
    assert json.loads((tmp_path / "a" / "receipt.json").read_text())["skipped_steps"][0]["reason"] == "loss spike"
    assert max(line["loss"] for line in lines(tmp_path / "a")[37:]) < 5

    # A run that is told what to pass over needs no rollback and ends with the same bits: the list is all there is to know.
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "skips.json").write_text((tmp_path / "a" / "skips.json").read_text())
    run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "b")
    assert final_bytes(tmp_path / "b") == final_bytes(tmp_path / "a")

    # Stopped within the spike, and again after the rollback, it meets the same spike and ends with the same bits.
    for stop_after, message in ((36, "after step 36"), (33, "after step 33"), (None, "")):
        noise.stop_after = stop_after
        if stop_after == 36:
            with pytest.raises(StoppedError, match=message):
                run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "c")
        elif stop_after == 33:
            with pytest.warns(PellucidWarning, match="36 to 37"), pytest.raises(StoppedError, match=message):
                run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "c")
        else:
            run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "c")
    assert final_bytes(tmp_path / "c") == final_bytes(tmp_path / "a")
    state = load_checkpoint(tmp_path / "c" / "checkpoints" / "step-00000048")[0]
    assert [entry["step"] for entry in state["progress"]["skipped"]] == [35, 36, 37]


def test_what_begins_at_a_checkpoint_with_the_spikes_behind_it_ends_as_if_it_had_trained_alone(
    tiny: Any, tmp_path: Path, noise: Noise
) -> None:
    noise.steps = {33, 34, 43, 44}
    stage = stage_of(tiny).model_copy(update={"checkpoint": CheckpointConfig(every_steps=5, keep_last=20)})
    with pytest.warns(PellucidWarning, match="loss spike"):
        run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "a")
    skips = SkipList(tmp_path / "a")
    assert [(spike["first_skipped"], spike["last_skipped"]) for spike in skips.spikes] == [(32, 34), (42, 44)]
    # One that is alike for 43 steps has not noticed the second spike, and has applied step 42.
    steps = skips.steps_to_begin_with(range(5, 50, 5), 43)
    assert steps == [5, 10, 15, 20, 25, 30, 35, 40]
    begun = tmp_path / "b"
    for step in steps:
        shutil.copytree(tmp_path / f"a/checkpoints/step-{step:08d}", begun / f"checkpoints/step-{step:08d}")
    log = (tmp_path / "a/metrics.jsonl").read_text().splitlines(keepends=True)
    (begun / "metrics.jsonl").write_text("".join(line for line in log if json.loads(line)["step"] <= 40))
    SkipList(begun, skips.until(40)).write()
    with pytest.warns(PellucidWarning, match="loss spike in steps 43 to 44"):
        run_stage(stage, tiny.model, tiny.order(), 1, begun)
    assert final_bytes(begun) == final_bytes(tmp_path / "a")
    receipts = [json.loads((folder / "receipt.json").read_text())["skipped_steps"] for folder in (begun, tmp_path / "a")]
    assert receipts[0] == receipts[1] and len(receipts[0]) == 6


def test_spikes_without_end_or_without_a_checkpoint_before_them_end_the_run_with_what_to_do(
    tiny: Any, tmp_path: Path, noise: Noise
) -> None:
    noise.steps = set(range(30, 49))
    with pytest.warns(PellucidWarning), pytest.raises(TrainingError, match=r"number 3, and spikes\.max_rollbacks is 2.*deviations"):
        run_stage(stage_of(tiny), tiny.model, tiny.order(), 1, tmp_path / "a")
    assert len(SkipList(tmp_path / "a").spikes) == 2
    rare = stage_of(tiny).model_copy(update={"checkpoint": CheckpointConfig(every_steps=100)})
    with pytest.raises(TrainingError, match=r"no checkpoint from before it.*every_steps \(now 100\)"):
        run_stage(rare, tiny.model, tiny.order(), 1, tmp_path / "b")
