"""Some requests at a time, answers in the order of what was asked."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from pellucid.evals.subject import OnDone, Subject, nothing_done

__all__ = ["at_once", "in_parallel"]

S = TypeVar("S")
T = TypeVar("T")


def at_once(subject: Subject, most: int) -> int:
    """Return how many requests a suite should make of a subject in one call, at most `most`.

    What is finished of a call that fails is lost, and an endpoint fails more often than a model in this process: so it is asked for
    two rounds of its parallel requests (`Endpoint.requests_at_once`), which still leaves none of them idle for long.
    """
    told = getattr(subject, "requests_at_once", None)
    return most if told is None else max(1, min(most, told))


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
