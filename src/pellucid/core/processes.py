"""Independent tasks on several processes, which end with their parent, however it ends."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for_tasks
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Literal, TypeVar

from pellucid.core.errors import PellucidError

__all__ = ["Engine", "available_cores", "end_workers", "run_apart", "run_tasks", "worker_died"]

Engine = Literal["local", "ray"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def available_cores() -> int:
    """Return the number of processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    *,
    engine: Engine = "local",
    name: Callable[[Task], str] = str,
) -> Iterator[tuple[int, Result]]:
    """Yield (index of the task, its result) as tasks finish; with one local worker or task, here and in order.

    `function` and the tasks are pickled: a module's function and plain values. A task writes files under names of its own and
    returns something small. The first exception of a task ends the others and is raised. When a worker process dies, the tasks that
    were under way run again, each alone; one that takes its process down twice more is left out, the others are finished, and
    `PellucidError` names it at the end. `engine="ray"` runs the same on a Ray cluster, at most `workers` at a time.
    """
    if engine == "ray":
        from pellucid.core.ray_tasks import run_on_ray

        yield from run_on_ray(function, tasks, workers, name)
        return
    if workers <= 1 or len(tasks) <= 1:
        for index, task in enumerate(tasks):
            yield index, function(task)
        return
    waiting, suspects = deque(range(len(tasks))), deque[int]()
    fatal: list[int] = []
    while waiting or suspects:
        if suspects:
            index = suspects.popleft()
            if (yield from _pool(function, tasks, deque([index]), 1)):
                fatal += yield from _pool(function, tasks, deque([index]), 1)
        else:
            suspects += yield from _pool(function, tasks, waiting, workers)
    if fatal:
        raise worker_died([name(tasks[index]) for index in fatal], len(tasks) - len(fatal))


def run_apart(function: Callable[[Task], Result], task: Task, name: str) -> Result:
    """Return the result of one task that ran in a process of its own, whose memory goes back to the system when it is done.

    What a task with many small objects leaves behind here would lie in holes, in which later tensors find no room. `function`, task
    and errors are as for `run_tasks`; `name` is what the task is called where its process was killed.
    """
    found = [result for _, result in _pool(function, [task], deque([0]), 1)]
    end_workers()
    if not found:
        raise worker_died([name], 0)
    return found[0]


def worker_died(names: Sequence[str], finished: int) -> PellucidError:
    """Return the error for tasks that took their processes down; `finished` others did not."""
    told = "\n  ".join(names[:20]) + (f"\n  and {len(names) - 20} more" if len(names) > 20 else "")
    return PellucidError(
        "a worker process was killed over each of these, each time it was tried; "
        f"{finished} others are finished and kept:\n  {told}\n"
        "Out of memory, or a fault in a library that the work calls. Run again to try only these once more; with smaller units of "
        "work if memory is short, or with what they read left out of the recipe"
    )


def end_workers() -> None:
    """End the worker processes that wait for more tasks; they would hold their memory while something else is done."""
    for pool in _KEPT.values():
        pool.shutdown()
    _KEPT.clear()


# Starting processes and importing into them takes the better part of a second, and a stage has several passes.
_KEPT: dict[int, ProcessPoolExecutor] = {}


def _pool(
    function: Callable[[Task], Result], tasks: Sequence[Task], queue: deque[int], workers: int
) -> Generator[tuple[int, Result], None, list[int]]:
    """Work a queue of task numbers off; return those that were under way when a worker died, the rest still being in the queue."""
    if workers not in _KEPT:
        end_workers()
        _KEPT[workers] = ProcessPoolExecutor(workers, _context(function.__module__), initializer=_live_with_parent)
    pool = _KEPT[workers]
    # No more is handed out than can run, so that after a death it is known which tasks were under way.
    running: dict[Future[Result], int] = {}
    try:
        while queue or running:
            while queue and len(running) < workers:
                running[pool.submit(function, tasks[queue[0]])] = queue[0]
                queue.popleft()
            for future in wait_for_tasks(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                yield running.pop(future), result
    except BrokenProcessPool:
        del _KEPT[workers]
        return sorted(running.values())
    except BaseException:
        del _KEPT[workers]
        for child in list((pool._processes or {}).values()):
            child.terminate()
        pool.shutdown()
        raise
    return []


def _context(module: str) -> BaseContext:
    """Return how worker processes are started.

    They are not forked from this process: a fork would copy the locks of numeric libraries' threads, and hold the run's own lock
    open. They are forked from a server that has imported the first task's module and nothing else happens in, so that importing
    is paid for once and not by every worker of every pool.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


def _live_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, or two runs might write into one folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with(sentinel: int) -> None:
            wait([sentinel])
            os._exit(1)

        threading.Thread(target=end_with, args=(parent.sentinel,), daemon=True).start()
