"""Memory that a step frees and the next one needs again stays with the process."""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

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
