"""One training stage as it is watched: the account of its metrics, and samples and scores beside them."""

import time
from collections import deque
from pathlib import Path

import numpy as np

from pellucid.watch.account import Account
from pellucid.watch.records import Parsed, Record, number, parse_lines, parse_objects
from pellucid.watch.tail import Tail

__all__ = ["LARGE_BYTES", "StageWatch"]

LARGE_BYTES = 24 * 2**20
"""Above this size a first picture is made of lines from all over the file, while the whole of it is read."""

_SAMPLED_PLACES = 1024
_END_BYTES = 2**19
_SLICE_BYTES = 2**19


class StageWatch:
    """Follows a stage's folder: `metrics.jsonl`, and beside it `samples.jsonl`, `heldout.jsonl` and `curves.jsonl`.

    Nothing in them is trusted. `generation` counts up when what was known is void.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.generation = 0
        self.metrics = Tail(folder / "metrics.jsonl")
        self.samples: deque[Record] = deque(maxlen=64)
        self.heldout: deque[Record] = deque(maxlen=2000)
        self.evaluations: deque[Record] = deque(maxlen=2000)
        self._whole = Account()
        self._picture: Account | None = None
        self._beside = [
            (Tail(folder / "samples.jsonl"), self.samples),
            (Tail(folder / "heldout.jsonl"), self.heldout),
            (Tail(folder / "curves.jsonl"), self.evaluations),
        ]

    @property
    def account(self) -> Account:
        """The account of the whole file, or a first picture of a large one while it is being read."""
        return self._picture if self._picture is not None else self._whole

    @property
    def has_begun(self) -> bool:
        """Whether a line was written yet."""
        return bool(self.account.start or self.account.last)

    @property
    def is_ended(self) -> bool:
        """Whether the stage is finished: its manifest is written last, and taken away when it is made again."""
        return (self.folder / "manifest.json").is_file()

    @property
    def read_share(self) -> float:
        """How much of the metrics file was read, 0 to 1."""
        return min(1.0, self.metrics.offset / self.metrics.size) if self.metrics.size else 1.0

    @property
    def is_whole(self) -> bool:
        """Whether the account holds every line, not a picture made of some."""
        return self._picture is None

    @property
    def bytes_read(self) -> int:
        """Bytes read of all files so far."""
        return self.metrics.bytes_read + sum(tail.bytes_read for tail, _ in self._beside)

    def close(self) -> None:
        """Let go of the files."""
        for tail in (self.metrics, *(tail for tail, _ in self._beside)):
            tail.close()

    def poll(self, budget_s: float = 0.25) -> bool:
        """Read what is new, for about so many seconds at most; return whether there was anything."""
        until = time.monotonic() + budget_s
        changed = False
        if not self.metrics.offset and self._picture is None and self.metrics.look() and self.metrics.size > LARGE_BYTES:
            self._picture = _first_picture(self.metrics)
            self.generation += 1
            changed = True
            until = 0.0  # what is there is shown first
        while True:
            before = self.metrics.generation
            lines = self.metrics.read(_SLICE_BYTES)
            if self.metrics.generation != before:
                self._whole, self._picture = Account(), None
                self.generation += 1
                changed = True
            if lines:
                self._whole.take(parse_lines(lines))
                changed = True
            if not lines or time.monotonic() > until:
                break
        if self._picture is not None and self.metrics.is_at_end:
            self._picture = None
            self.generation += 1
            changed = True
        return self._poll_beside() or changed

    def read_all(self) -> None:
        """Read to the end of the files as they are now."""
        self.poll()
        while not self.metrics.is_at_end:
            self.poll(1.0)

    def _poll_beside(self) -> bool:
        changed = False
        for tail, kept in self._beside:
            before = tail.generation
            lines = tail.read(_SLICE_BYTES)
            if tail.generation != before:
                kept.clear()
                changed = True
            while lines:
                changed = True
                records = parse_objects(lines)[0]
                kept.extend(filter(None, map(_slim, records)) if kept is self.evaluations else records)
                lines = tail.read(_SLICE_BYTES)
        return changed


def _first_picture(tail: Tail) -> Account:
    """Make an account of lines from all over a large file, and of its end."""
    picture, parsed = Account(), Parsed()
    for place in np.linspace(0, max(0, tail.size - _END_BYTES), _SAMPLED_PLACES).astype(int).tolist():
        found = parse_lines(tail.lines_at(place, 2**14)[:2])
        parsed.events += found.events
        parsed.steps += found.steps[:1]
    parsed.steps += parse_lines(tail.lines_at(max(0, tail.size - _END_BYTES), _END_BYTES)).steps
    parsed.steps = list({record["step"]: record for record in sorted(parsed.steps, key=lambda one: one["step"])}.values())
    picture.take(parsed)
    return picture


def _slim(record: Record) -> Record | None:
    """Keep of an evaluation what is shown: each task's metrics, not its items' nats. None for a line that is none."""
    tasks, kept = record.get("tasks"), {}
    if not isinstance(tasks, dict):
        return None
    for name, task in tasks.items():
        metrics = task.get("metrics") if isinstance(task, dict) else None
        if isinstance(metrics, dict):
            kept[str(name)] = {key: number(value) for key, value in metrics.items()}
    return {"step": record["step"], "tokens": record.get("tokens"), "tasks": kept}
