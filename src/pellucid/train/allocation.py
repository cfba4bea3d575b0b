"""The process's memory: what a step frees and the next one needs again stays, what earlier work has left behind goes."""

import ctypes
import os
import sys
from pathlib import Path

__all__ = ["forget_peak", "give_back", "keep_freed_memory", "mapped_bytes"]

_PROC = Path("/proc/self")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST_BYTES = 2**30


def keep_freed_memory() -> bool:
    """Tell the C library not to hand large blocks back to the system after each use; return whether it understood.

    A training step on the CPU frees and takes the same tensors of some megabytes thousands of times; by default glibc maps each
    anew and the system clears every page of it. Changes no result. Does nothing where the C library is another one.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MOST_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _MOST_BYTES))


def give_back() -> None:
    """Hand memory that nothing uses back to the system. Does nothing where the C library has no way to."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def forget_peak() -> int | None:
    """Hand unused memory back, let the process's greatest size be counted from now on, and return its size now, in bytes.

    None where the system has no such count to reset: Linux alone does (proc_pid_clear_refs(5)), and not in every container.
    """
    if sys.platform != "linux":
        return None
    give_back()
    try:
        (_PROC / "clear_refs").write_text("5")
        return _statm_bytes(1)
    except OSError:
        return None


def mapped_bytes() -> int:
    """Return how much of the process's size now are pages of files: libraries' code, shards. The system takes them back at need.

    0 where the system does not tell them apart.
    """
    try:
        return _statm_bytes(2)
    except OSError:
        return 0


def _statm_bytes(field: int) -> int:
    """Return a field of proc_pid_statm(5): 1 is all that is resident, 2 what of it is shared with others or a file's."""
    return int((_PROC / "statm").read_text().split()[field]) * os.sysconf("SC_PAGE_SIZE")
