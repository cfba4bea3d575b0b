"""Processor time of a process and of everything that it started."""

import os
import resource
from collections import defaultdict
from pathlib import Path

__all__ = ["cpu_seconds", "process_started"]

_PROC = Path("/proc")


def cpu_seconds(root: int | None = None, proc: Path = _PROC) -> float:
    """Return the processor seconds of a process (this one by default) and all its descendants, threads and ended ones included.

    On Linux from /proc: workers of a pool are children of a server that lives as long as we do, and `getrusage` tells of children
    only when they have ended. What is lost is the time of a process whose parent ended before it. Elsewhere, and where /proc is
    closed, what `getrusage` tells of this process.
    """
    children: dict[int, list[int]] = defaultdict(list)
    ticks: dict[int, int] = {}
    for folder in proc.glob("[0-9]*"):
        fields = _stat(folder)
        if fields is not None:
            number = int(folder.name)
            children[int(fields[1])].append(number)
            # Its own in user and system mode, and that of children that it has waited for.
            ticks[number] = sum(int(field) for field in fields[11:15])
    first = os.getpid() if root is None else root
    if first not in ticks:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)
    total, left = 0, [first]
    while left:
        number = left.pop()
        total += ticks[number]
        left += children[number]
    return total / os.sysconf("SC_CLK_TCK")


def process_started(pid: int, proc: Path = _PROC) -> str | None:
    """Return when a process was started, in ticks since the machine was; None when there is none, or /proc does not tell."""
    fields = _stat(proc / str(pid))
    return fields[19] if fields is not None and fields[0] not in {"Z", "X"} else None


def _stat(folder: Path) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on: the name before may hold spaces and brackets."""
    try:
        text = (folder / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > 19 else None
