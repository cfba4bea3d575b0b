"""What the lines of one metrics file come to: curves, the newest steps, spikes, skipped steps, events. In bounded memory."""

from collections import deque

import numpy as np

from pellucid.watch.curves import Curves
from pellucid.watch.records import Parsed, Record, columns_of
from pellucid.watch.spikes import SpikeFinder

__all__ = ["Account"]

_RECENT_STEPS = 512
_MOST_EVENTS = 200


class Account:
    """Takes steps and events in their order, by one or by the thousand.

    `start` holds the facts of the start line and of resumes after it, `last` the newest step, `recent` the newest 512.
    """

    def __init__(self) -> None:
        self.curves = Curves()
        self.start: Record = {}
        self.last: Record = {}
        self.recent: deque[Record] = deque(maxlen=_RECENT_STEPS)
        self.events: deque[Record] = deque(maxlen=_MOST_EVENTS)
        self.resumes: list[int] = []
        """The steps after which training was continued."""
        self.skipped: deque[tuple[int, str]] = deque(maxlen=_MOST_EVENTS)
        """Newest steps that were not applied, with the reason."""
        self.skipped_count = 0
        self.damaged = 0
        self.spikes = SpikeFinder()
        self.lowest: tuple[float, int] | None = None
        """Lowest loss, and its step."""

    @property
    def step(self) -> int:
        """The newest step, 0 before the first."""
        return int(self.last["step"]) if self.last else 0

    @property
    def planned_steps(self) -> int | None:
        """How many steps the stage has, as its start line says; metrics of older versions do not."""
        told = self.start.get("steps")
        return told if type(told) is int and told > 0 else None

    def take(self, parsed: Parsed) -> None:
        """Take what some lines hold."""
        self.damaged += parsed.damaged
        for event in parsed.events:
            self._take_event(event)
        steps = self._in_order(parsed.steps)
        if not steps:
            return
        steps_N, tokens_N, columns = columns_of(steps)
        self.curves.extend(steps_N, tokens_N, columns)
        self.spikes.extend(steps_N, columns["loss"])
        for record in steps:
            if record.get("skipped") is True:
                self.skipped_count += 1
                self.skipped.append((record["step"], str(record.get("reason", ""))))
        self.recent.extend(steps)
        self.last = steps[-1]
        if not np.isnan(columns["loss"]).all():
            at = int(np.nanargmin(columns["loss"]))
            if self.lowest is None or columns["loss"][at] < self.lowest[0]:
                self.lowest = (float(columns["loss"][at]), steps[at]["step"])

    def _take_event(self, event: Record) -> None:
        if event["event"] in ("start", "resume"):
            self.start = {**self.start, **event}
        if event["event"] == "resume":
            self.resumes.append(event["step"])
        if event["event"] != "start":
            self.events.append(event)

    def _in_order(self, steps: list[Record]) -> list[Record]:
        """Leave out steps that do not come after the one before; a metrics file as training writes it has none."""
        newest, kept = self.step, []
        for record in steps:
            if record["step"] > newest:
                newest = record["step"]
                kept.append(record)
        self.damaged += len(steps) - len(kept)
        return kept
