from typing import Any

import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.plan.memory import rank_memory
from pellucid.train import tune as module
from pellucid.train.device import Device
from pellucid.train.measure import StepTimes, Workbench
from pellucid.train.tune import Trial, Tuning, default_memory_limit, expected_tokens, tune

CPU = Device(torch.device("cpu"), "fp32")
PLENTY = 2**40


def test_every_divisor_of_a_devices_share_is_measured_and_the_fastest_found(tiny: Any) -> None:
    stage = tiny.stage(1, batch_tokens=12 * 32)
    told: list[int] = []
    tuning = tune(stage, tiny.model, CPU, 2, PLENTY, told.append)
    assert [(trial.micro_seqs, trial.accumulation) for trial in tuning.trials] == [(1, 6), (2, 3), (3, 2), (6, 1)]
    for trial in tuning.trials:
        assert trial.outcome == "measured"
        assert trial.tokens_per_s is not None and trial.mfu is not None and trial.mfu_6n is not None
        assert 0 < trial.mfu <= 1 and trial.mfu_6n > 0
    assert tuning.best is not None
    assert tuning.best.tokens_per_s == max(trial.tokens_per_s or 0 for trial in tuning.trials)
    assert sum(told) == expected_tokens(stage, tiny.model, CPU, 2, PLENTY)
    assert not tuning.compiled


def test_forecasts_are_the_plans_on_top_of_what_the_process_holds(tiny: Any) -> None:
    stage = tiny.stage(1)
    trials = tune(stage, tiny.model, CPU, 1, PLENTY).trials
    forecast = [
        rank_memory(tiny.model, stage.model_copy(update={"micro_seqs": size}), 1, bf16=False)["none"]["total"] for size in (1, 2, 4)
    ]
    assert [trial.forecast_bytes - trials[0].forecast_bytes for trial in trials] == [each - forecast[0] for each in forecast]
    assert trials[0].forecast_bytes > forecast[0] + 10 * 2**20


def test_on_a_cpu_nothing_is_tried_over_the_limit(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def measure(self: Workbench, micro_seqs: int, micro_steps: int, **_: Any) -> StepTimes:
        tried.append(micro_seqs)
        return StepTimes(micro_steps, ({"data": 0.0, "forward": 1.0, "backward": 2.0, "optimizer": 1.0},), 0)

    monkeypatch.setattr(Workbench, "measure", measure)
    monkeypatch.setattr(Device, "memory_bytes", lambda self: 10**9)
    stage = tiny.stage(1)
    forecast = [trial.forecast_bytes for trial in tune(stage, tiny.model, CPU, 1, PLENTY).trials]
    assert forecast[0] > 10**9
    tried.clear()
    tuning = tune(stage, tiny.model, CPU, 1, forecast[1])
    assert tried == [1, 2]
    assert tuning.trials[-1].outcome == "over the limit"
    assert tuning.trials[-1].tokens_per_s is None
    nothing = tune(stage, tiny.model, CPU, 1, 1)
    assert nothing.best is None and [trial.outcome for trial in nothing.trials] == ["over the limit"]
    assert expected_tokens(stage, tiny.model, CPU, 1, 1) == 0


def test_a_forecast_that_was_too_low_raises_the_next() -> None:
    def trial(size: int, forecast: int, memory: int | None = None) -> Trial:
        return Trial(size, 8 // size, forecast, "measured" if memory else "not tried", memory_bytes=memory)

    assert module._corrected_bytes(trial(4, 140), []) == 140
    assert module._corrected_bytes(trial(4, 140), [trial(1, 110, 130)]) == 160
    assert module._corrected_bytes(trial(4, 140), [trial(1, 110, 130), trial(2, 120, 150)]) == 190
    assert module._corrected_bytes(trial(4, 140), [trial(1, 110, 90), trial(2, 120, 91)]) == 140


def test_running_out_of_memory_ends_the_growing_and_keeps_what_was_measured(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Workbench.measure

    def full(self: Workbench, micro_seqs: int, *rest: Any, **options: Any) -> StepTimes:
        if micro_seqs > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return measure(self, micro_seqs, *rest, **options)

    monkeypatch.setattr(Workbench, "measure", full)
    tuning = tune(tiny.stage(1, batch_tokens=8 * 32), tiny.model, CPU, 1, PLENTY)
    assert [trial.outcome for trial in tuning.trials] == ["measured", "measured", "out of memory"]
    assert tuning.best is not None and tuning.best.micro_seqs <= 2


def test_speed_counts_all_micro_batches_of_the_share_and_one_update(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    phases = {"data": 1.0, "forward": 2.0, "backward": 5.0, "optimizer": 3.0}
    monkeypatch.setattr(Workbench, "measure", lambda self, size, steps, **_: StepTimes(steps, (phases,), 1))
    trials = tune(tiny.stage(1, batch_tokens=8 * 32), tiny.model, CPU, 1, PLENTY).trials
    assert [trial.tokens_per_s for trial in trials] == [256 / (4 * 8 + 3), 256 / (2 * 8 + 3), 256 / (8 + 3), 256 / (8 + 3)]


def test_a_batch_that_cannot_be_dealt_out_is_an_error(tiny: Any) -> None:
    with pytest.raises(UsageError, match="4 sequences, which cannot be dealt out evenly to 3 ranks"):
        tune(tiny.stage(1), tiny.model, CPU, 3, PLENTY)


def test_ranks_that_share_each_matrix_share_their_sequences_too(tiny: Any) -> None:
    stage = tiny.stage(1, batch_tokens=8 * 32, parallel={"tensor_ways": 2})
    assert [trial.micro_seqs for trial in tune(stage, tiny.model, CPU, 4, PLENTY).trials] == [1, 2, 4]


def test_nothing_measured_has_no_best() -> None:
    assert Tuning((), 1, 1.0, "", False).best is None
    assert CPU.memory_bytes() < default_memory_limit(CPU) < PLENTY
