import threading
import time
from collections.abc import Callable

import pytest
import torch.distributed as dist

from pellucid.train import heartbeat
from pellucid.train.heartbeat import Heartbeat


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dist.Store:
    for name, seconds in {"INTERVAL_S": 0.02, "SILENCE_S": 0.5, "STUCK_S": 1.0}.items():
        monkeypatch.setattr(heartbeat, name, seconds)
    return dist.PrefixStore("test", dist.TCPStore("127.0.0.1", 0, is_master=True))


class Said(list[str]):
    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for message in self:
                if wanted(message):
                    return message
            time.sleep(0.01)
        raise AssertionError(list(self))


def test_a_silent_rank_is_named_by_the_first_and_the_first_by_the_second(store: dist.Store) -> None:
    said = [Said(), Said(), Said()]
    beats = [Heartbeat(store, rank, 3, f"host{rank}", said[rank].append) for rank in range(3)]
    for beat in beats:
        beat.at(7, 1)
        beat.__enter__()
    beats[2].__exit__()
    message = said[0].wait_for(lambda message: "not been heard of" in message)
    assert message.startswith("rank 2 (host2)") and "last in step 7" in message
    beats[0].__exit__()
    assert said[1].wait_for(lambda message: "not been heard of" in message).startswith("rank 0 (host0)")
    beats[1].__exit__()
    assert not said[2]


def test_the_rank_that_all_wait_for_is_named_when_all_speak(store: dist.Store) -> None:
    said, before = Said(), set(threading.enumerate())
    first, second = Heartbeat(store, 0, 2, "host0", said.append), Heartbeat(store, 1, 2, "host1", lambda _: None)
    with first, second:
        for step in (1, 2, 3):
            first.at(step, 1)
            second.at(step, 0 if step == 3 else 1)
            time.sleep(0.01)
        message = said.wait_for(lambda message: "no step was finished" in message)
        assert "furthest behind: rank 1 (host1), in step 3 (data)" in message
        first.at(4, 0)
    assert not set(threading.enumerate()) - before


def test_ranks_that_get_on_are_not_talked_about(store: dist.Store) -> None:
    said = Said()
    with Heartbeat(store, 0, 2, "host0", said.append) as first, Heartbeat(store, 1, 2, "host1", said.append) as second:
        for step in range(1, 40):
            first.at(step, 0)
            second.at(step, 1)
            time.sleep(0.02)
    assert not said
