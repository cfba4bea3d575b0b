"""Whose an attempt is, and the last word on attempts whose process is gone without one."""

import os
import platform
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from pellucid.core.attempts import Attempt, attempts_of
from pellucid.core.cpu_time import process_started
from pellucid.core.ledger import LEDGER, Ledger, read_ledger

__all__ = ["settle", "this_process"]

_BOOT = Path("/proc/sys/kernel/random/boot_id")
# Ten beats: of a process on another machine nothing else is known than that it has fallen silent.
_SILENT_S = 600.0


def this_process(*, holds_run: bool) -> dict[str, Any]:
    """Return what tells this process from any other: its number, a digest of the machine and its start, and when it began.

    `holds_run`: whether it has the run to itself (see `run_lock`), so that whoever has the run next knows that it is gone.
    """
    pid = os.getpid()
    return {"pid": pid, "host": _host(), "since": process_started(pid), "holds_run": holds_run}


def settle(run: Path, *, holds_run: bool) -> list[Attempt]:
    """Write `killed` for each attempt without an end whose process is gone, and return all attempts as they then are.

    With seconds and energy as they were last known; whoever was only silent takes it back with its next sign of life (see
    `attempts_of`). A ledger whose chain does not hold is read all the same: what is wrong with it
    is for `pellucid verify` to say, and no reason not to go on.
    """
    path = run / LEDGER
    if not path.is_file():
        return []
    attempts = _attempts(path)
    if not any(_is_gone(one, holds_run) for one in attempts):
        return attempts
    # Looked at again with the ledger to ourselves: somebody else may just have written the same.
    with Ledger(run).alone() as append:
        for one in _attempts(path):
            if _is_gone(one, holds_run):
                energy = {"joules": one.joules, "kind": "measured" if one.measured else "estimated", "cpu_s": one.cpu_s}
                seen = f"killed; last seen after {one.seconds:.0f} s" if one.seconds else "killed before its first sign of life"
                append("killed", stage=one.stage, attempt=one.number, seconds=one.seconds, energy=energy, message=seen)
    return _attempts(path)


def _attempts(path: Path) -> list[Attempt]:
    return attempts_of(read_ledger(path, checked=False), checked=False)


def _is_gone(attempt: Attempt, holds_run: bool) -> bool:
    if attempt.outcome != "running":
        return False
    process = attempt.process
    if process.get("host") == _host() and "pid" in process:
        return not _is_there(process["pid"], process.get("since"))
    # Older ledgers do not say whose an attempt is: only who had the run to itself wrote into them.
    return (holds_run and bool(process.get("holds_run", True))) or _silent_s(attempt) > _SILENT_S


def _is_there(pid: int, since: str | None) -> bool:
    if since is not None:
        return process_started(pid) == since
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _silent_s(attempt: Attempt) -> float:
    try:
        seen = datetime.fromisoformat(attempt.seen_at)
    except ValueError:
        return 0.0
    if seen.tzinfo is None:
        return 0.0
    return (datetime.now(UTC) - seen).total_seconds()


def _host() -> str:
    """Return a digest of the machine's name and its start: names of machines are not for ledgers that are published."""
    boot = _BOOT.read_text().strip() if _BOOT.is_file() else ""
    return sha256(f"{platform.node()} {boot}".encode()).hexdigest()[:12]
