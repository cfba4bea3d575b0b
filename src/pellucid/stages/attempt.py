"""Attempts as they happen: whoever works on a run, a stage or a command beside the flow, is in its ledger from start to end."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.core.artifacts import MANIFEST
from pellucid.core.attempts import Attempt, attempts_of, next_number
from pellucid.core.beats import beating
from pellucid.core.environment import code_version, environment
from pellucid.core.errors import PellucidError
from pellucid.core.files import sha256_file
from pellucid.core.joules import JouleMeter, Power
from pellucid.core.ledger import Ledger, read_ledger
from pellucid.core.released import RELEASE
from pellucid.core.settle import settle, this_process
from pellucid.recipe.after import PlanConfig
from pellucid.stages.machine import device_of
from pellucid.stages.run_folder import RECIPE_FILE, open_recipe

__all__ = ["Processes", "Work", "attempt"]


@dataclass(frozen=True)
class Processes:
    """How many processes share the work, on all machines and on this one."""

    size: int = 1
    local_size: int = 1

    @property
    def nodes(self) -> int:
        """How many machines they are on."""
        return max(1, self.size // self.local_size)


@dataclass
class Work:
    """An attempt under way, and what its last line is to say. `energy()` and `seconds()` are what it has taken so far."""

    energy: Callable[[], Mapping[str, Any]] = dict
    seconds: Callable[[], float] = float
    summary: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    skipped: Callable[[], Sequence[int]] = tuple
    """Asked when it ends, however it does: training steps of this build that were not applied."""

    def made(self, folder: Path, summary: Mapping[str, Any]) -> None:
        """Say which artifact was made."""
        self.folder, self.summary = folder, dict(summary)


@contextmanager
def attempt(
    run: Path,
    stage: str,
    *,
    plan: PlanConfig | None = None,
    processes: Processes = Processes(),
    holds_run: bool = False,
    **told: Any,
) -> Iterator[Work]:
    """Write the start of an attempt, a beat each minute, and its end, stop or failure; `told` are more fields of the start.

    `plan` says which device the work is done on; the run's own recipe, when it is not given. What was killed before is settled
    first. Nothing is written into a folder that cannot be written to, or a released one, whose every byte is listed. Raises as
    `Ledger.append` does.
    """
    if (run / RELEASE).is_file() or not os.access(run, os.W_OK):
        yield Work()
        return
    ledger, attempts = Ledger(run), settle(run, holds_run=holds_run)
    config = plan if plan is not None else open_recipe(run).plan
    device = _device(config, run, processes)
    recipe_file = sha256_file(run / RECIPE_FILE) if (run / RECIPE_FILE).is_file() else None
    around = {"recipe_file": recipe_file, "environment": environment(), "code_version": code_version(), "device": device}
    # Of processes that were started together, theirs is the parent with all its children; of one alone, its own.
    root = os.getppid() if processes.size > 1 else None
    power = Power(device["watts"], device["count"], device["cores"], device["nodes"])
    with JouleMeter(power, root) as meter:
        # Nobody else writes between the look at what is there and the line that takes the next number.
        with ledger.alone() as append:
            number = next_number(attempts_of(read_ledger(ledger.path, checked=False), checked=False), stage)
            name: dict[str, Any] = {"stage": stage, "attempt": number}
            append("start", **name, **told, **around, process=this_process(holds_run=holds_run))

        def so_far() -> dict[str, Any]:
            return {**name, "seconds": round(meter.seconds(), 3), "energy": meter.so_far()}

        work, told_of = Work(meter.so_far, meter.seconds), _skipped_before(attempts, stage, bool(told.get("continues")))
        with beating(lambda: ledger.append("alive", **so_far())):
            try:
                yield work
            except BaseException as error:
                # The error is what matters; that it could not be written down shows as a kill to whoever comes next.
                with suppress(PellucidError, OSError):
                    _tell_skipped(ledger, name, work, told_of)
                    ledger.append(_ending(error), **so_far(), error=type(error).__name__, message=_first_line(error))
                raise
            _tell_skipped(ledger, name, work, told_of)
        ledger.append("end", **so_far(), summary=work.summary, **_artifact(run, work.folder))


def _device(config: PlanConfig, run: Path, processes: Processes) -> dict[str, Any]:
    """Return the device of the recipe's plan as it is used here: a GPU for each process, a processor for each machine."""
    row, nodes = device_of(config, run), processes.nodes
    count = processes.size if row.cores is None else nodes
    return {"name": config.device, "count": count, "watts": row.power_w.likely, "cores": row.cores, "nodes": nodes}


def _artifact(run: Path, folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    inside = folder.is_relative_to(run)
    return {"folder": str(folder.relative_to(run)) if inside else None, "manifest": sha256_file(folder / MANIFEST)}


def _ending(error: BaseException) -> str:
    stopped = not isinstance(error, Exception) or getattr(error, "exit_status", 1) >= 128
    return "stop" if stopped else "failure"


def _first_line(error: BaseException) -> str:
    text = "Ctrl-C" if isinstance(error, KeyboardInterrupt) else str(error).strip()
    # Names of files may hold bytes that are no text.
    return (text.splitlines()[0] if text else type(error).__name__).encode(errors="replace").decode()


def _skipped_before(attempts: Sequence[Attempt], stage: str, continues: bool) -> set[int]:
    """Return the steps that earlier attempts at the same build have told: those since it was last begun anew."""
    found: set[int] = set()
    for one in reversed([one for one in attempts if one.stage == stage]):
        if not continues:
            break
        found.update(one.skipped)
        continues = one.continues
    return found


def _tell_skipped(ledger: Ledger, name: Mapping[str, Any], work: Work, told: set[int]) -> None:
    steps = [step for step in work.skipped() if step not in told]
    if steps:
        ledger.append("steps_skipped", **name, steps=steps)
