"""Some requests at a time, answers in the order of what was asked."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from pellucid.evals.subject import OnDone, nothing_done

__all__ = ["in_parallel"]

S = TypeVar("S")
T = TypeVar("T")


def in_parallel(ask: Callable[[S, threading.Event], T], items: Sequence[S], width: int, on_done: OnDone = nothing_done) -> list[T]:
    """Return `ask(item, stop)` for each item, in their order, at most `width` at once.

    The first error is raised, and nothing new is begun after it. `stop` is set then, so that what waits to try again can leave. The
    threads are daemons: Ctrl-C does not wait for answers that are still being written.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    finished: queue.SimpleQueue[tuple[int, T | BaseException, bool]] = queue.SimpleQueue()
    stop = threading.Event()
    for at in range(len(items)):
        todo.put(at)

    def work() -> None:
        while not stop.is_set():
            try:
                at = todo.get_nowait()
            except queue.Empty:
                return
            try:
                finished.put((at, ask(items[at], stop), True))
            except BaseException as error:
                finished.put((at, error, False))
                return

    for _ in range(min(width, len(items))):
        threading.Thread(target=work, daemon=True).start()
    results: dict[int, T] = {}
    try:
        while len(results) < len(items):
            at, result, is_fine = finished.get()
            if not is_fine:
                assert isinstance(result, BaseException)
                raise result
            results[at] = result  # type: ignore[assignment]
            on_done(1)
    finally:
        stop.set()
    return [results[at] for at in range(len(items))]
