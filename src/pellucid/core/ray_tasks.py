"""The same independent tasks on a Ray cluster: `pellucid.core.processes.run_tasks` with `engine="ray"`."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pellucid.core.errors import MissingExtraError
from pellucid.core.processes import worker_died

__all__ = ["run_on_ray"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_RETRIES = 2


def run_on_ray(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, name: Callable[[Task], str]
) -> Iterator[tuple[int, Result]]:
    """Yield (index, result) as tasks finish. RAY_ADDRESS names the cluster; without it Ray is started here, once per process.

    Every node sees the same files under the same names (a shared file system) and has this package installed. A task whose worker
    or node is lost runs again elsewhere; one that loses its worker three times is left out and named at the end, after the others.
    An exception that a task raises ends the others and comes out as it was raised.
    """
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError as error:
        raise MissingExtraError("ray", "cluster", "engine: ray") from error
    if not ray.is_initialized():
        _connect(ray, workers)
    running: dict[Any, int] = {}
    fatal: list[int] = []
    try:
        remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(function)
        queue = iter(range(len(tasks)))
        # A few more than can run at once, so that no core waits; not all, because each look at them goes through the list.
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        limit = workers or 2 * int(resources.get("CPU", 1)) + 2
        while True:
            while len(running) < limit and (index := next(queue, None)) is not None:
                running[remote.remote(tasks[index])] = index
            if not running:
                break
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            index = running.pop(done)
            try:
                result = ray.get(done)
            except RayTaskError as error:
                raise (error.cause if isinstance(error.cause, Exception) else error) from None
            except RayError:  # the worker, its node or its result is lost, for good after the retries
                fatal.append(index)
                continue
            yield index, result
        if fatal:
            raise worker_died([name(tasks[index]) for index in sorted(fatal)], len(tasks) - len(fatal))
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _connect(ray: Any, workers: int) -> None:
    # Ray would warn about a future default of its own each time, and watch the machine's use for a dashboard nobody asked for.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address=os.environ["RAY_ADDRESS"], **quiet)
    else:
        ray.init(num_cpus=workers or None, include_dashboard=False, **quiet)
