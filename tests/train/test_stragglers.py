import random
import time
from typing import Any

import pytest
import torch

from pellucid.model.decoder import Decoder
from pellucid.train.device import Device
from pellucid.train.stragglers import OwnWork, Stragglers


def feed(stragglers: Stragglers, steps: int, speeds: list[float], seed: int = 0) -> list[tuple[int, dict[int, float]]]:
    noise, found = random.Random(seed), []
    for step in range(steps):
        slow = stragglers.update([speed * noise.uniform(0.8, 1.25) for speed in speeds])
        if slow:
            found.append((step, slow))
    return found


@pytest.mark.parametrize("size", [2, 3, 8])
def test_a_rank_twice_as_slow_is_found_within_twenty_steps_and_told_once(size: int) -> None:
    [(step, slow)] = feed(Stragglers(size), 100, [1.0] * (size - 1) + [2.0])
    assert step < 20 and list(slow) == [size - 1]
    assert slow[size - 1] == pytest.approx(2, rel=0.25)


def test_equal_ranks_single_slow_steps_and_a_world_of_one_are_not_told_of() -> None:
    assert not feed(Stragglers(4), 200, [1.0] * 4)
    assert not feed(Stragglers(1), 50, [1.0])
    stragglers = Stragglers(4)
    for step in range(200):
        assert not stragglers.update([1.0, 1.0, 1.0, 30.0 if step % 4 == 0 else 1.0])


def test_a_rank_that_became_slow_again_is_told_of_again() -> None:
    stragglers = Stragglers(2)
    assert len(feed(stragglers, 30, [1.0, 3.0])) == 1
    assert not feed(stragglers, 30, [1.0, 1.0])
    assert len(feed(stragglers, 30, [1.0, 3.0])) == 1


def test_the_time_between_working_and_working_does_not_count(tiny: Any) -> None:
    work = OwnWork(Decoder(tiny.model), Device(torch.device("cpu"), "fp32"))
    with work.working():
        time.sleep(0.02)
    time.sleep(0.5)
    with work.working():
        time.sleep(0.02)
    seconds = work.collect()
    assert seconds >= 0.04
    assert work.collect() == 0
    with work.working():
        time.sleep(0.02)
        work._waits.append((time.perf_counter(), time.perf_counter() + 0.02))
    assert work.collect() < seconds
