"""Every case and its harmless twin, opened by everything that would open it: rows of what was seen, and what does not hold."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hostile.folders
import hostile.gguf
import hostile.runs
import hostile.templates
import hostile.weights
from hostile.bases import Bases, Case
from hostile.watch import LEDGER

from pellucid.core.errors import MissingExtraError

__all__ = ["LIMITS", "Opening", "faults_of", "openings"]

LIMITS = {"wall_s": 20, "address_bytes": 8 << 30, "grown_bytes": 1 << 30}
"""Of one opening: seconds until it is ended, address space beside what is mapped before, and resident memory that it may take."""


class Opening:
    """The process that opens files for others; see `watch`. To be used as a context."""

    def __init__(self, bases: Path) -> None:
        self.bases = Bases(bases)
        path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hostile.watch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()

    def open(self, opener: str, model: Path, scratch: Path, canary: Path) -> dict[str, Any]:
        """Let it be opened, and return what that did."""
        job = {"opener": opener, "path": str(model), "scratch": str(scratch), "canary": str(canary), "limits": LIMITS}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def openings(opening: Opening, case: Case, root: Path) -> Iterator[dict[str, Any]]:
    """Plant a case and its twin below `root`, open both with each opener, and yield a row for each."""
    for is_hostile in (True, False):
        folder = root / ("hostile" if is_hostile else "twin")
        try:
            place = opening.bases.copy(case.base, folder)
        except MissingExtraError as error:
            yield {
                "case": case.name,
                "hostile": hostile,
                "opener": case.base,
                "ended": "not here",
                "said": str(error),
                "faults": [],
            }
            return
        case.plant(place, is_hostile)
        before = _tree(folder)
        for number, opener in enumerate(case.openers):
            row = opening.open(opener, place.model, root / f"scratch-{number}-{is_hostile}", place.canary)
            changed = sorted(_tree(folder) ^ before)
            row |= {"case": case.name, "hostile": is_hostile, "opener": opener, "changed": [str(one[0]) for one in changed]}
            yield {**row, "faults": faults_of(case, row)}


def faults_of(case: Case, row: dict[str, Any]) -> list[str]:
    """Return what does not hold in a row, a line each."""
    faults = [f"seen: {event}" for event in row["events"]]
    if row["canary"]:
        faults.append("the payload ran: the canary is there")
    faults += [f"changed: {path}" for path in row["changed"]]
    if row["ended"] not in ("opened", "refused"):
        faults.append(f"{row['ended']}: {row['said'][-1500:]}")
    if row["grown_bytes"] > LIMITS["grown_bytes"]:
        faults.append(f"it took {row['grown_bytes'] >> 20} MiB")
    if not row["hostile"]:
        return faults + ([] if row["ended"] == "opened" else [f"the harmless twin is {row['ended']}: {row['said'][-1500:]}"])
    must = case.refused and row["opener"] not in case.not_refused
    if must and row["ended"] == "opened":
        faults.append(f"opened: {row['said'][-300:]}")
    if must and row["ended"] == "refused" and case.named not in row["said"]:
        faults.append(f"the error does not name {case.named}: {row['said'][-600:]}")
    return faults


def _tree(folder: Path) -> set[tuple[str, int, int]]:
    """Names, sizes and times of everything below a folder, but of a run's own ledger, which work on it goes into."""
    found = set()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            about = path.lstat()
            is_told = path == folder / "place" / "model" / LEDGER and path.is_file() and not path.is_symlink()
            size, time = (about.st_size, about.st_mtime_ns) if name in files and not is_told else (0, 0)
            found.add((str(path), size, time))
    return found
