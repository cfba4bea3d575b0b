import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid.core.errors import StoppedError, TrainingError
from pellucid.model.decoder import Decoder, init_weights
from pellucid.optim.optimizer import build_optimizer
from pellucid.optim.schedules import learning_rate
from pellucid.recipe.training import OptimizerConfig, TrainStageConfig
from pellucid.train.device import Device
from pellucid.train.feed import MicroBatch, ObjectiveLoss
from pellucid.train.loop import Hooks, Task, train
from pellucid.train.objectives.next_token import next_token
from pellucid.train.state import TrainState

CPU = Device(torch.device("cpu"), "fp32")


class Log:
    """Hooks that remember what they were told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.records: list[dict[str, Any]] = []
        self.signal_at: int | None = None
        self.step = 0

    def hooks(self) -> Hooks:
        return Hooks(
            partial(self._note, "watch"),
            partial(self._note, "save"),
            lambda: "checkpoints/step-X",
            self._stop,
            self._log,
            lambda _: None,
        )

    def _note(self, event: str, state: TrainState) -> None:
        self.step = state.progress.step
        self.events.append((event, self.step))

    def _stop(self) -> int | None:
        return 15 if self.step == self.signal_at else None

    def _log(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        self.events.append(("log", record["step"]))


class Gradients:
    """Stands in for the optimizer: keeps the gradients of each step and changes nothing."""

    def __init__(self, model: Decoder) -> None:
        self.parameters = list(model.parameters())
        self.kept: list[list[Tensor]] = []

    def set_learning_rate(self, lr: float) -> None:
        self.lr = lr

    def step(self) -> None:
        self.kept.append([p.grad.clone() for p in self.parameters if p.grad is not None])

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def make(tiny: Any, stage: TrainStageConfig, attention: str = "causal") -> tuple[TrainState, Task]:
    model = Decoder(tiny.model)
    init_weights(model, 1)
    state = TrainState(model, build_optimizer(model, stage.optimizer))
    return state, Task(stage, tiny.order(attention=attention), next_token, CPU)


def test_the_order_of_a_step_is_watch_save_step_log(tiny: Any) -> None:
    state, task = make(tiny, tiny.stage(3, checkpoint={"every_steps": 2}))
    log = Log()
    train(state, task, log.hooks())
    assert log.events == [
        ("watch", 0), ("log", 1), ("watch", 1), ("log", 2), ("watch", 2), ("save", 2), ("log", 3), ("watch", 3), ("save", 3),
    ]  # fmt: skip


def test_accumulated_gradients_equal_those_of_one_big_batch(tiny: Any) -> None:
    found = []
    for micro_seqs in (1, 3, 4):
        stage = tiny.stage(2, micro_seqs=micro_seqs, optimizer=OptimizerConfig(clip_norm=1e9))
        state, task = make(tiny, stage, attention="document")
        gradients = Gradients(state.model)
        state.optimizer = gradients  # type: ignore[assignment]
        log = Log()
        train(state, task, log.hooks())
        found.append((gradients.kept, [record["loss"] for record in log.records]))
    batch = tiny.order(attention="document").sequences(0, 4)
    assert len({int((row >= 0).sum()) for row in batch.targets_BT}) > 1, "the sequences should differ in their number of targets"
    for kept, losses in found[1:]:
        assert losses == pytest.approx(found[0][1], abs=1e-6)
        for ours, reference in zip(kept, found[0][0], strict=True):
            norm = torch.stack([g.norm() for g in reference]).norm()
            assert all((a - b).norm() <= 1e-6 * norm for a, b in zip(ours, reference, strict=True))


def test_the_gradient_is_clipped_to_the_global_norm_and_the_norm_before_is_logged(tiny: Any) -> None:
    norms = []
    for clip in (1e9, 0.05):
        state, task = make(tiny, tiny.stage(1, optimizer=OptimizerConfig(clip_norm=clip)))
        gradients = Gradients(state.model)
        state.optimizer = gradients  # type: ignore[assignment]
        log = Log()
        train(state, task, log.hooks())
        norms.append((log.records[0]["grad_norm"], torch.stack([g.norm() for g in gradients.kept[0]]).norm().item()))
    assert norms[0][0] == norms[1][0] == pytest.approx(norms[0][1])
    assert norms[1][1] == pytest.approx(0.05, rel=1e-4)


def test_records_hold_rate_tokens_and_losses_by_source_and_the_loss_falls(tiny: Any) -> None:
    stage = tiny.stage(30)
    state, task = make(tiny, stage)
    log = Log()
    train(state, task, log.hooks())
    assert [record["lr"] for record in log.records] == [learning_rate(stage.schedule, step, 30) for step in range(1, 31)]
    assert [record["tokens"] for record in log.records] == [128 * step for step in range(1, 31)]
    first = log.records[0]
    assert first["loss"] == pytest.approx(math.log(256), abs=0.1)
    assert first["loss_by_source"].keys() == {"law", "appendix"}
    assert (first["loss_by_source"]["law"] * 3 + first["loss_by_source"]["appendix"]) / 4 == pytest.approx(first["loss"])
    assert log.records[-1]["loss"] < 0.75 * first["loss"]
    assert sum(state.progress.targets.values()) == 30 * 128
    assert sum(state.progress.nats.values()) == pytest.approx(sum(record["loss"] * 128 for record in log.records))


def poisoned(model: Decoder, batch: MicroBatch, *, bad: set[int], calls: list[int]) -> ObjectiveLoss:
    loss = next_token(model, batch)
    calls.append(1)
    if len(calls) in bad:
        return ObjectiveLoss(loss.loss_sum * float("nan"), loss.nats_B)
    return loss


def test_a_step_that_is_not_finite_changes_no_bit_and_names_its_sequences(tiny: Any) -> None:
    state, task = make(tiny, tiny.stage(4))
    # Two micro-steps a step: the second micro-step of step 3 is poisoned.
    task = replace(task, objective=partial(poisoned, bad={6}, calls=[]))
    log, before = Log(), {}
    hooks = log.hooks()

    def watch(state: TrainState) -> None:
        hooks.watch(state)
        flat = {f"weight {n}": p.clone() for n, p in state.model.named_parameters()}
        flat |= {f"{n} {k}": v.clone() for n, found in state.optimizer.state_dict().items() for k, v in found.items()}
        before[state.progress.step] = flat

    train(state, task, replace(hooks, watch=watch))
    assert [record["skipped"] for record in log.records] == [False, False, True, False]
    assert log.records[2]["sequences"] == [8, 11]
    assert all(torch.equal(value, before[3][name]) for name, value in before[2].items())
    assert not all(torch.equal(value, before[4][name]) for name, value in before[3].items())
    assert state.progress.skipped == [{"step": 3, "sequences": [8, 11], "reason": "not finite"}]
    assert state.progress.bad_steps_in_a_row == 0
    assert sum(state.progress.targets.values()) == 3 * 128


def test_too_many_bad_steps_in_a_row_end_the_run_with_the_last_good_checkpoint_named(tiny: Any) -> None:
    state, task = make(tiny, tiny.stage(20, max_bad_steps=3))
    task = replace(task, objective=partial(poisoned, bad={1, *range(5, 100)}, calls=[]))
    log = Log()
    with pytest.raises(TrainingError, match=r"3 steps in a row .*sequences 16 to 19.*checkpoints/step-X"):
        train(state, task, log.hooks())
    assert [record["skipped"] for record in log.records] == [True, False, True, True, True]


def test_a_signal_saves_and_stops_with_its_status(tiny: Any) -> None:
    state, task = make(tiny, tiny.stage(20))
    log = Log()
    log.signal_at = 3
    with pytest.raises(StoppedError, match="after step 3 of 20") as raised:
        train(state, task, log.hooks())
    assert raised.value.exit_status == 143
    assert log.events[-2:] == [("watch", 3), ("save", 3)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_bf16_on_a_gpu_follows_fp32_on_the_cpu(tiny: Any) -> None:
    losses = []
    for device in (CPU, Device(torch.device("cuda"), "bf16")):
        stage = tiny.stage(20)
        model = Decoder(tiny.model)
        init_weights(model, 1)
        model.to(device.device)
        state = TrainState(model, build_optimizer(model, stage.optimizer))
        log = Log()
        train(state, Task(stage, tiny.order(), next_token, device), log.hooks())
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
        losses.append([record["loss"] for record in log.records])
    assert losses[0] == pytest.approx(losses[1], abs=0.05)
