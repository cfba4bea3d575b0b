"""Attempts: each time that a stage or a command began to work on a run, as its ledger tells it, however it ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from pellucid.core.errors import ArtifactError
from pellucid.core.event_fields import wrong_field
from pellucid.core.ledger import LEDGER, read_ledger

__all__ = ["Attempt", "Outcome", "attempts_of", "build_of", "made_before", "next_number", "read_attempts"]

Outcome = Literal["end", "stop", "failure", "killed", "running"]

_ENDINGS = ("end", "stop", "failure", "killed")
_SIGNS_OF_LIFE = ("alive", "steps_skipped", "end", "stop", "failure")
_UNKNOWN = "killed; how long it had run is not known"
_NAMESAKE = "another was begun under its number; what it took after that is not known"


@dataclass(frozen=True)
class Attempt:
    """One attempt. `line` is that of its start in the ledger and `last_line` that of its last event, both counted from 1,
    written at `seen_at`.

    `outcome` "running": it has no end in the ledger. `seconds` are wall time, and with `joules` and `cpu_s` those of its last sign
    of life where it was killed. `joules` None: the ledger does not tell; `measured`: counters counted all of them. `devices` None:
    an attempt from before they were written down. `skipped` are training steps that were not applied. `revived` is the line at
    which one that had been taken for killed gave a sign of life again; 0: none has.
    """

    stage: str
    number: int
    line: int
    began_at: str
    ended_at: str | None = None
    outcome: Outcome = "running"
    seconds: float = 0.0
    joules: float | None = None
    measured: bool = False
    continues: bool = False
    message: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    folder: str | None = None
    manifest: str | None = None
    last_line: int = 0
    seen_at: str = ""
    cpu_s: float | None = None
    devices: int | None = None
    skipped: tuple[int, ...] = ()
    process: dict[str, Any] = field(default_factory=dict)
    revived: int = 0


def attempts_of(events: Iterable[Mapping[str, Any]], *, checked: bool = True) -> list[Attempt]:
    """Return the attempts of a ledger's events, in the order in which they began.

    Who is taken for killed may only have been silent for long: what it writes later counts, and it runs or has ended as that says.
    Older ledgers number no attempts: there a start closes the one of the same stage before it, which must have been killed.

    Raises `ArtifactError` at a line whose fields are not what they must be; not `checked`, that line is passed over.
    """
    story = _Story()
    for line, event in enumerate(events, start=1):
        wrong = wrong_field(event)
        if wrong is not None and checked:
            raise ArtifactError(f"{LEDGER}, line {line}: {wrong}. Pellucid writes no such line; restore the file from a copy")
        if wrong is not None or not (isinstance(event.get("stage"), str) and isinstance(event.get("event"), str)):
            continue
        if event["event"] == "start":
            story.begin(line, event)
        else:
            story.go_on(line, event)
    return story.attempts


class _Story:
    """The attempts so far, and the places of those that still run and of those that were killed, by stage and number."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self._open: dict[tuple[str, int], int] = {}
        self._killed: dict[tuple[str, int], int] = {}

    def begin(self, line: int, event: Mapping[str, Any]) -> None:
        """Add an attempt. Of one that is open and cannot be told from it, nothing more will be known."""
        stage = event["stage"]
        number = event.get("attempt", next_number(self.attempts, stage))
        if "attempt" not in event:
            for place in self._open_places(stage):
                self.attempts[place] = replace(self.attempts[place], outcome="killed", message=_UNKNOWN)
                del self._open[stage, self.attempts[place].number]
        elif (stage, number) in self._open:
            place = self._open[stage, number]
            self.attempts[place] = replace(self.attempts[place], outcome="killed", message=_NAMESAKE, last_line=line)
        self._killed.pop((stage, number), None)
        self._open[stage, number] = len(self.attempts)
        self.attempts.append(_began(stage, number, line, event))

    def go_on(self, line: int, event: Mapping[str, Any]) -> None:
        """Add to an attempt what an event tells of it; an event of no attempt that is open is passed over."""
        stage, number, name = event["stage"], event.get("attempt"), event["event"]
        place = self._open.get((stage, number)) if number is not None else max(self._open_places(stage), default=None)
        if place is None and number is not None and name in _SIGNS_OF_LIFE:
            place = self._killed.pop((stage, number), None)
            if place is not None:
                self.attempts[place] = replace(self.attempts[place], outcome="running", ended_at=None, message="", revived=line)
        if place is None:
            return
        one = self.attempts[place] = _went_on(self.attempts[place], line, event)
        self._open[stage, one.number] = place
        if name in _ENDINGS:
            del self._open[stage, one.number]
        if name == "killed":
            self._killed[stage, one.number] = place

    def _open_places(self, stage: str) -> list[int]:
        return [place for (name, _), place in self._open.items() if name == stage]


def read_attempts(run: Path) -> list[Attempt]:
    """Return the attempts of a run. Raises `ArtifactError` when its ledger is missing or does not hold."""
    return attempts_of(read_ledger(run / LEDGER))


def next_number(attempts: Iterable[Attempt], stage: str) -> int:
    """Return the number of a stage's next attempt: they are counted from 1."""
    return 1 + max((one.number for one in attempts if one.stage == stage), default=0)


def build_of(attempts: Iterable[Attempt], stage: str) -> list[Attempt]:
    """Return the attempts that a stage's artifact took, in order: the last that came to its end, and those that it went on from.

    Of a stage that has never ended, those of its last build. None for a stage that was never begun.
    """
    own = [one for one in attempts if one.stage == stage]
    last = max((place for place, one in enumerate(own) if one.outcome == "end"), default=len(own) - 1)
    first = last
    while first > 0 and own[first].continues:
        first -= 1
    return own[first : last + 1]


def made_before(attempts: Iterable[Attempt], first: str, then: str, *, ever: bool = False) -> bool | None:
    """Tell whether what the stage `first` made last was whole before the stage `then` began its build (see `build_of`).

    By the order of lines in the ledger, which its chain fixes; clocks are not asked. `made_before(attempts, "plan", "pretrain")`:
    was this forecast made before this training? With `ever`, before that stage was begun for the first time, so that no earlier
    build of it can have been looked at. None where the ledger does not tell: `first` has no end in it, or `then` no start.
    """
    every = list(attempts)
    ends = [one.last_line for one in every if one.stage == first and one.outcome == "end"]
    of_then = [one for one in every if one.stage == then] if ever else build_of(every, then)
    return ends[-1] < of_then[0].line if ends and of_then else None


def _began(stage: str, number: int, line: int, event: Mapping[str, Any]) -> Attempt:
    devices = (event.get("device") or {}).get("count")
    return Attempt(
        stage,
        number,
        line,
        str(event.get("at", "")),
        continues=bool(event.get("continues", False)),
        last_line=line,
        seen_at=str(event.get("at", "")),
        devices=devices,
        process=event.get("process") or {},
    )


def _went_on(attempt: Attempt, line: int, event: Mapping[str, Any]) -> Attempt:
    name, energy = str(event["event"]), event.get("energy") or {}
    attempt = replace(attempt, last_line=line, seen_at=str(event.get("at", "")))
    if name == "steps_skipped":
        return replace(attempt, skipped=(*attempt.skipped, *event["steps"]))
    seconds = event.get("seconds")
    known = replace(
        attempt,
        seconds=attempt.seconds if seconds is None else float(seconds),
        joules=energy.get("joules", attempt.joules),
        measured=energy["kind"] == "measured" if "kind" in energy else attempt.measured,
        cpu_s=energy.get("cpu_s", attempt.cpu_s),
    )
    if name not in _ENDINGS:
        return known
    return replace(
        known,
        outcome=cast(Outcome, name),
        ended_at=attempt.seen_at,
        message=str(event.get("message", "")),
        summary=event.get("summary") or {},
        folder=event.get("folder"),
        manifest=event.get("manifest"),
    )
