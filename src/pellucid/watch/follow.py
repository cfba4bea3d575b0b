"""Handing a stage's metrics to another tool while they are written: each step once, whatever is stopped and started again."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_json
from pellucid.watch.records import Record, flat_values, number, parse_lines
from pellucid.watch.tail import Tail

__all__ = ["StageCopy", "StepValues", "Target"]

_SLICE_BYTES = 2**20


class StepValues(NamedTuple):
    """One step for another tool: its number, when it ended (seconds since the epoch, as far as is known), its values by channel."""

    step: int
    at: float
    values: dict[str, float]


class Target(Protocol):
    """Where steps are written. What was written survives a kill of the writer, and `last_step` is read from there."""

    @property
    def last_step(self) -> int:
        """The newest step that is there, 0 when there is none."""

    def write(self, steps: Sequence[StepValues]) -> None:
        """Write further steps, each after the one before."""

    def rewind(self, step: int) -> bool:
        """Take back what came after a step; return False where the tool cannot."""

    def close(self) -> None:
        """Finish."""


class StageCopy:
    """Follows one stage's `metrics.jsonl` into a target.

    A resumed stage makes steps again. A tool that can take steps back does so; for one that cannot, a further run is begun, which
    holds the whole of the stage as it now is (`open_target` gets 1, 2, …). What was seen of the stage's history is kept in the file
    `memory`, so that a copy that is started again knows what happened meanwhile.
    """

    def __init__(self, folder: Path, memory: Path, open_target: Callable[[int], Target]) -> None:
        self.folder = folder
        self.written = 0
        self._memory, self._open_target = memory, open_target
        self._tail = Tail(folder / "metrics.jsonl")
        self._first, self._resumes, self._number = "", list[int](), 1
        self._began, self._seconds = 0.0, 0.0
        if memory.is_file():
            self._remember(read_json(memory))
        self._target: Target | None = None
        self._resumes_passed = 0

    @property
    def is_done(self) -> bool:
        """Whether the stage has ended and everything in its file was written."""
        return (self.folder / "manifest.json").is_file() and self._tail.is_at_end and self._tail.offset > 0

    def close(self) -> None:
        """Finish the target."""
        if self._target is not None:
            self._target.close()
            self._target = None
        self._tail.close()

    def poll(self) -> int:
        """Write what is new, up to a slice of the file; return how many steps that were."""
        generation = self._tail.generation
        lines = self._tail.read(_SLICE_BYTES)
        if self._tail.generation != generation:
            self._resumes_passed, self._seconds = 0, 0.0
        if not lines:
            return 0
        if self._target is None:
            self._target = self._open_target(self._number)
        if not self._began:
            self._began = self._tail.modified - _seconds_of(self.folder / "metrics.jsonl")
            self._save()
        found = parse_lines(lines)
        for event in found.events:
            if event["event"] == "resume" and self._went_back(event["step"]):
                return self.poll()
        if found.steps and found.steps[0]["step"] == 1 and self._is_another(found.steps[0]):
            return self.poll()
        count = self._write(found.steps)
        self.written += count
        return count

    def _write(self, records: Sequence[Record]) -> int:
        assert self._target is not None
        last, batch = self._target.last_step, []
        for record in records:
            self._seconds += _step_s(record)
            if record["step"] > last:
                last = record["step"]
                values = {"tokens": number(record.get("tokens")), **flat_values(record)}
                known = {name: value for name, value in values.items() if value == value}
                batch.append(StepValues(record["step"], self._began + self._seconds, known))
        if batch:
            self._target.write(batch)
        return len(batch)

    def _is_another(self, first: Record) -> bool:
        """Tell whether the stage was begun anew since it was last looked at: its first step took other times."""
        digest = hashlib.sha256(repr(sorted(flat_values(first).items())).encode()).hexdigest()
        before, self._first = self._first, digest
        if before == digest:
            return False
        if before:
            self._resumes, self._began = [], 0.0
            self._go_back(0)
            return True
        self._save()
        return False

    def _went_back(self, step: int) -> bool:
        """Note a resume; return whether everything has to be read again because of it."""
        place, self._resumes_passed = self._resumes_passed, self._resumes_passed + 1
        if place < len(self._resumes) and self._resumes[place] == step:
            return False
        # Resumes that were known and are no longer there had gone back too: what they made is void with them.
        back_to = min([step, *self._resumes[place:]])
        self._resumes = [*self._resumes[:place], step]
        return self._go_back(back_to)

    def _go_back(self, step: int) -> bool:
        assert self._target is not None
        if self._target.last_step > step and not self._target.rewind(step):
            self._target.close()
            self._number += 1
            self._target = self._open_target(self._number)
        self._save()
        self._tail.begin_again()
        self._resumes_passed, self._seconds = 0, 0.0
        return True

    def _save(self) -> None:
        write_json(self._memory, {"first": self._first, "resumes": self._resumes, "number": self._number, "began": self._began})

    def _remember(self, told: object) -> None:
        if not isinstance(told, dict) or not {"first", "resumes", "number", "began"} <= told.keys():
            raise ArtifactError(f"{self._memory} is not what was written: remove it with what lies beside it, and begin anew")
        self._first, self._resumes, self._number, self._began = (told[name] for name in ("first", "resumes", "number", "began"))


def _seconds_of(metrics: Path) -> float:
    """Return the seconds of all steps in a file, so that the last of them ended when the file was last written."""
    tail, total = Tail(metrics), 0.0
    while lines := tail.read(_SLICE_BYTES):
        total += sum(_step_s(record) for record in parse_lines(lines).steps)
    tail.close()
    return total


def _step_s(record: Record) -> float:
    seconds = record.get("seconds")
    known = [number(value) for value in seconds.values()] if isinstance(seconds, dict) else []
    return sum(value for value in known if value == value)
