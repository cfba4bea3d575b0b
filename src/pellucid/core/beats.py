"""Signs of life: a thread that tells now and then that work goes on, so that a kill loses little of its account."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pellucid.core.errors import PellucidError

__all__ = ["beating"]

# Early ones too: of work that is killed within its first minute something is known as well.
_FIRST_S = (10.0, 20.0, 30.0)
_EVERY_S = 60.0


@contextmanager
def beating(tell: Callable[[], object], first_s: tuple[float, ...] = _FIRST_S, every_s: float = _EVERY_S) -> Iterator[None]:
    """Call `tell` from a thread while the block lasts: after each of the pauses `first_s`, then every `every_s` seconds.

    A beat that cannot be written (no room on the disk) is left out. Nothing of the thread is left when the block has ended.
    """
    over = threading.Event()

    def beat() -> None:
        pauses = iter(first_s)
        while not over.wait(next(pauses, every_s)):
            with suppress(PellucidError, OSError):
                tell()

    thread = threading.Thread(target=beat, name="beats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
