"""How OpenMP's threads wait for each other in our own processes, and the environment as it was before we said so."""

import os
from collections.abc import Mapping

__all__ = ["THREADS_WAIT", "as_given", "let_threads_sleep", "with_threads_wait"]

# They spin for some microseconds, then sleep. Spinning for long costs a third of the speed of training as soon as another program
# wants a core, no spinning at all some percent on an idle machine (benchmarks/wait_policy.json). GNU's runtime prefers the count of
# spins to the policy; others know the policy only.
THREADS_WAIT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}

_set_here: dict[str, str] = {}


def let_threads_sleep() -> None:
    """Set them for this process and those that it starts, unless the user said how threads wait. Before OpenMP is loaded."""
    wanted = with_threads_wait(os.environ)
    if wanted.keys() != os.environ.keys():
        os.environ.update(THREADS_WAIT)
        _set_here.update(THREADS_WAIT)


def with_threads_wait(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with our settings, or as it is where it holds one of them."""
    return dict(environment) if THREADS_WAIT.keys() & environment.keys() else {**environment, **THREADS_WAIT}


def as_given() -> dict[str, str]:
    """Return this process's environment without what `let_threads_sleep` has added to it."""
    return {name: value for name, value in os.environ.items() if _set_here.get(name) != value}
