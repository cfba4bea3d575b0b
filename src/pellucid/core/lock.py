"""One process works in a run directory at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pellucid.core.errors import RunLockedError

__all__ = ["run_lock"]


@contextmanager
def run_lock(run: Path, instead: str = "choose another folder with --runs DIR") -> Iterator[None]:
    """Hold a folder; raise `RunLockedError` at once when another process does. The kernel lets go when we die."""
    run.mkdir(parents=True, exist_ok=True)
    path = run / ".lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise RunLockedError(f"{run} is in use by process {holder}; wait for it, stop it, or {instead}") from error
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
