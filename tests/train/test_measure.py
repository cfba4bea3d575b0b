import math
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.batches.order import DataOrder
from pellucid.train.device import Device
from pellucid.train.measure import RandomStream, StepTimes, Workbench

CPU = Device(torch.device("cpu"), "fp32")


def test_random_documents_end_with_the_end_mark_and_can_be_ordered() -> None:
    stream = RandomStream(97, 64, seed=3)
    ids_N = stream.read(0, stream.tokens)
    assert ids_N.max() < 97
    assert np.array_equal(np.flatnonzero(ids_N == 0) + 1, stream.document_starts[1:])
    assert np.array_equal(ids_N, RandomStream(97, 64, seed=3).read(0, stream.tokens))
    batch = DataOrder({"random": stream}, {"random": 1.0}, 64, 0, "document").sequences(0, 64)
    assert batch.documents_BT is not None and batch.documents_BT.max() > 0
    assert batch.ids_BT.shape == (64, 64)


def test_phases_of_more_micro_batches_follow_from_fewer() -> None:
    steps = [{"data": 1.0, "forward": 2.0, "backward": 5.0, "optimizer": slow} for slow in (3.0, 30.0, 4.0)]
    times = StepTimes(2, tuple(steps), 0)
    assert times.step_s() == 12.0
    assert times.step_s(8) == 4 * 8.0 + 4.0
    assert times.median_phases_s() == {"data": 1.0, "forward": 2.0, "backward": 5.0, "optimizer": 4.0}


@pytest.mark.parametrize("changes", [{}, {"attention": "document"}, {"exact": True}, {"optimizer": {"kind": "muon"}}])
def test_a_workbench_makes_the_steps_asked_for_and_books_all_of_their_time(tiny: Any, changes: dict[str, Any]) -> None:
    bench = Workbench(tiny.stage(1, **changes), tiny.model, CPU)
    calls: list[int] = []
    for micro_seqs, micro_steps in ((1, 2), (4, 1)):
        calls.clear()
        times = bench.measure(micro_seqs, micro_steps, warm_up=1, timed=2, after_step=lambda: calls.append(1))
        assert len(calls) == 3
        assert len(times.phases_s) == 2 and times.micro_steps == micro_steps
        assert all(math.isfinite(value) and value >= 0 for step in times.phases_s for value in step.values())
        assert times.memory_bytes > 0


def test_the_updates_are_too_small_to_change_what_is_measured(tiny: Any) -> None:
    bench = Workbench(tiny.stage(1), tiny.model, CPU)
    model = bench._state.model
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    bench.measure(2, 2, warm_up=0, timed=3)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, before[name], atol=1e-5, rtol=0)
