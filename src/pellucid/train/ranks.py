"""Looking after the other ranks while training: who is slow, who is stuck, who is gone."""

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pellucid.core.errors import PellucidWarning
from pellucid.core.progress import console
from pellucid.model.decoder import Decoder
from pellucid.train.device import Device
from pellucid.train.heartbeat import Heartbeat
from pellucid.train.stragglers import OwnWork, Stragglers
from pellucid.train.world import World

__all__ = ["RankWatch", "watch_ranks"]


class RankWatch:
    """Tells people of ranks that are slow, stuck or silent, on standard error at once, and as events for metrics.jsonl."""

    def __init__(self, world: World, model: Decoder, device: Device) -> None:
        assert world.store is not None, "a world of several has a store"
        self._is_first = world.is_first
        self._places = world.everyone(f"{socket.gethostname()}, process {os.getpid()}")
        self._work, self._stragglers = OwnWork(model, device), Stragglers(world.size)
        self._said: list[str] = []
        self.heartbeat = Heartbeat(world.store, world.rank, world.size, self._places[world.rank], self._say)

    @contextmanager
    def working(self, step: int, phase: int) -> Iterator[None]:
        """Count the time of the block as this rank's own work in `step`: reading its data (phase 0), computing (1), or reading the
        next step's (2). After that, it waits."""
        self.heartbeat.at(step, phase)
        with self._work.working():
            yield
        if phase == 2:
            self.heartbeat.at(step, 3)

    def collect(self) -> float:
        """Return the seconds of own work since the last call. The device must have done that work."""
        return self._work.collect()

    def compare(self, seconds_R: list[float]) -> list[dict[str, Any]]:
        """Compare the ranks' own work in the step that was just done; return what happened since the last call as events."""
        slow = self._stragglers.update(seconds_R)
        said, self._said = self._said, []
        events: list[dict[str, Any]] = [{"event": "ranks", "message": message} for message in said]
        for rank, ratio in slow.items():
            message = f"rank {rank} ({self._places[rank]}) takes {ratio:.1f} times as long as the others for its own work in a step"
            events.append({"event": "straggler", "rank": rank, "ratio": ratio, "seconds": seconds_R[rank], "message": message})
            if self._is_first:
                warnings.warn(message, PellucidWarning, stacklevel=2)
        return events

    def _say(self, message: str) -> None:
        self._said.append(message)
        console.print(message, style="yellow", soft_wrap=True)


@contextmanager
def watch_ranks(world: World, model: Decoder, device: Device) -> Iterator[RankWatch | None]:
    """Watch over the ranks during the block; None in a world of one, which has no one to wait for."""
    if world.size == 1:
        yield None
        return
    watch = RankWatch(world, model, device)
    with watch.heartbeat:
        yield watch
