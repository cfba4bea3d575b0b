"""Independent tasks on several processes, which end with their parent, however it ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from pellucid.core.errors import PellucidError

__all__ = ["available_cores", "run_tasks"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def available_cores() -> int:
    """Return the number of processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[tuple[int, Result]]:
    """Yield (index of the task, its result) as tasks finish; with one worker or task, here and in order.

    `function` and the tasks are pickled: a module's function and plain values. A task writes files under names of its own and
    returns something small. The first exception of a task ends the others and is raised; a worker that is killed from outside
    raises `PellucidError`.
    """
    if workers <= 1 or len(tasks) <= 1:
        for index, task in enumerate(tasks):
            yield index, function(task)
        return
    # Spawned, not forked: a fork would copy the locks of numeric libraries' threads, and hold the run's own lock open.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(workers, len(tasks)), context, initializer=_live_with_parent) as pool:
        try:
            futures = {pool.submit(function, task): index for index, task in enumerate(tasks)}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise PellucidError(
                "a worker process was killed (out of memory?); run again, with fewer workers if it recurs"
            ) from error
        except BaseException:
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise


def _live_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, or two runs might write into one folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with(sentinel: int) -> None:
            wait([sentinel])
            os._exit(1)

        threading.Thread(target=end_with, args=(parent.sentinel,), daemon=True).start()
