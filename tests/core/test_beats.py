import threading
import time

import pytest

from pellucid.core.beats import beating
from pellucid.core.errors import DiskFullError


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "beats"]


def test_beats_come_while_the_block_lasts_and_none_after_it() -> None:
    told: list[float] = []
    with beating(lambda: told.append(time.monotonic()), first_s=(0.01, 0.02), every_s=0.03):
        ends = time.monotonic() + 30
        while len(told) < 4 and time.monotonic() < ends:
            time.sleep(0.005)
    count = len(told)
    time.sleep(0.1)
    assert len(told) == count >= 4 and threads() == []


def test_the_thread_ends_with_an_exception_too_and_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), beating(lambda: None):
        assert threads() == ["beats"]
        raise KeyboardInterrupt
    assert threads() == [] and time.monotonic() - began < 5


@pytest.mark.parametrize("error", [DiskFullError("full"), OSError("gone")])
def test_a_beat_that_cannot_be_written_is_left_out_and_the_next_one_comes(error: Exception) -> None:
    calls: list[int] = []

    def tell() -> None:
        calls.append(1)
        raise error

    with beating(tell, first_s=(), every_s=0.01):
        ends = time.monotonic() + 30
        while len(calls) < 3 and time.monotonic() < ends:
            time.sleep(0.005)
    assert len(calls) >= 3
