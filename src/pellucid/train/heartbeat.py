"""Which rank is gone or stuck: every rank says every few seconds that it lives and where it is, through the processes' store.

A rank that is stopped, or whose machine is gone, is silent: it is named after `SILENCE_S`. When all speak and none gets on, those
that are furthest behind are named, because the others wait for them. Naming is all that is done: what to do about it is for
whoever reads it, or for the time limit of the collectives.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from torch.distributed import Store  # type: ignore[attr-defined]

__all__ = ["SILENCE_S", "Heartbeat"]

INTERVAL_S = 2.0
SILENCE_S = 15.0
STUCK_S = 20.0
FIRST_STEP_S = 300.0  # compiling, and what a machine does once


@dataclass
class _Heard:
    """What was last heard of a rank, and since when it has not changed."""

    beat: int = -1
    position: tuple[int, int] = (0, 0)
    place: str = "unknown place"
    beat_since: float = field(default_factory=time.monotonic)
    told: bool = False


class Heartbeat:
    """Speaks for one rank and listens: the first to all others, the second to the first, so that each is heard by someone.

    `tell` gets what there is to say as one line; it is called in a thread of its own. Use as a context.
    """

    def __init__(self, store: Store, rank: int, size: int, place: str, tell: Callable[[str], None]) -> None:
        self._rank, self._place, self._tell = rank, place, tell
        self._store = store.clone()  # type: ignore[attr-defined]
        self._beat = 0
        self._position = (0, 0)
        self._phase_names = ("data", "computing", "data of the next", "waiting for its device or the others")
        self._longest_step_s, self._step_since = 0.0, time.monotonic()
        listened_to = range(1, size) if rank == 0 else range(rank == 1)
        self._heard = {other: _Heard() for other in listened_to}
        self._stuck_told = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=INTERVAL_S)

    def at(self, step: int, phase: int) -> None:
        """Note where this rank is in `step`: reading its data (0), computing (1), reading the next step's data (2), waiting (3)."""
        if step != self._position[0]:
            now = time.monotonic()
            if self._position[0]:
                self._longest_step_s = max(self._longest_step_s, now - self._step_since)
            self._step_since = now
        self._position = (step, phase)

    def _run(self) -> None:
        # The store goes away with the run; a heartbeat that cannot be sent any more has no one to reach.
        with suppress(Exception):
            while not self._ended.wait(INTERVAL_S if self._beat else 0):
                self._beat += 1
                self._store.set(f"heartbeat/{self._rank}", json.dumps([self._beat, self._position, self._place]))
                self._listen()

    def _listen(self) -> None:
        now = time.monotonic()
        for rank, heard in self._heard.items():
            key = f"heartbeat/{rank}"
            beat, position, place = json.loads(self._store.get(key)) if self._store.check([key]) else (-1, (0, 0), heard.place)
            heard.position, heard.place = tuple(position), place
            if beat != heard.beat:
                if heard.told:
                    self._tell(f"rank {rank} ({place}) is back after {now - heard.beat_since:.0f} s")
                heard.beat, heard.beat_since, heard.told = beat, now, False
            elif now - heard.beat_since > SILENCE_S and not heard.told:
                heard.told = True
                self._tell(
                    f"rank {rank} ({place}) has not been heard of for {now - heard.beat_since:.0f} s, last in step {position[0]}: "
                    "it is stopped, or its machine cannot be reached; the others wait for it"
                )
        self._look_for_stuck_ranks(now)

    def _look_for_stuck_ranks(self, now: float) -> None:
        step, _ = self._position
        since = now - self._step_since
        patience = max(STUCK_S, 10 * self._longest_step_s) if self._longest_step_s else FIRST_STEP_S
        if self._rank or not step or since < patience:
            self._stuck_told = False
        elif not self._stuck_told and not any(heard.told for heard in self._heard.values()):
            self._stuck_told = True
            positions = {0: (self._position, self._place)}
            positions |= {rank: (heard.position, heard.place) for rank, heard in self._heard.items()}
            last = min(position for position, _ in positions.values())
            behind = [f"rank {rank} ({place})" for rank, (position, place) in positions.items() if position == last]
            self._tell(
                f"no step was finished for {since:.0f} s; furthest behind: {', '.join(behind)}, "
                f"in step {last[0]} ({self._phase_names[last[1]]})"
            )
