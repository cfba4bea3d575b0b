"""One process at a time: in a run directory, and at the end of its ledger."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pellucid.core.errors import ArtifactError, RunLockedError

__all__ = ["hold_file", "run_lock"]

_HELD = (errno.EWOULDBLOCK, errno.EACCES)
# What kernels say of a file system on which flock(2) was not allowed for.
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def run_lock(run: Path, instead: str = "choose another folder with --runs DIR") -> Iterator[None]:
    """Hold a folder; raise `RunLockedError` at once when another process does. The kernel lets go when we die.

    Raises `ArtifactError` where the file system has no locks.
    """
    run.mkdir(parents=True, exist_ok=True)
    path = run / ".lock"
    with path.open("a+") as file:
        try:
            hold_file(file.fileno(), path, wait=False)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise RunLockedError(f"{run} is in use by process {holder}; wait for it, stop it, or {instead}") from error
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def hold_file(descriptor: int, path: Path, *, wait: bool) -> None:
    """Hold an open file until it is closed. Not to `wait`: raise `BlockingIOError` when another process holds it.

    Raises `ArtifactError` where the file system at `path` has no locks: without them two processes would write at once.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _HELD and not wait:
            raise BlockingIOError(error.errno, os.strerror(error.errno), str(path)) from error
        if error.errno not in _NO_LOCKS:
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error
        raise ArtifactError(
            f"{path.parent} is on a file system without locks ({os.strerror(error.errno)}), by which processes keep out of each "
            "other's way. Mount it with them (Lustre: -o flock; NFS: a running lockd), or choose another folder with --runs DIR"
        ) from error
