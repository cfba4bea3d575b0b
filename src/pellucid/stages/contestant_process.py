"""A program of the throughput table in a process of its own, so that its memory, threads and cores are nobody else's."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from pellucid.core.errors import PellucidError
from pellucid.core.threads_wait import as_given, with_threads_wait
from pellucid.stages.contestant_programs import (
    OURS,
    Contestant,
    Machine,
    Opened,
    gpu_peak_memory_bytes,
    open_program,
    peak_memory_bytes,
)

__all__ = ["ContestantProcess", "Turn", "environment_of"]

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# What libraries that compute are told through; of anything else in the environment nothing is written down.
_TOLD = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "VECLIB_", "DNNL_", "ONEDNN_", "GGML_", "CUDA_")


class Turn(NamedTuple):
    """One turn: for each sequence the seconds after which each new token was there, and how many tokens of prompts were reused.

    `seconds` from the call to its end, `cpu_s` of the whole process in them, `peak_bytes` since the process began.
    """

    at_s: list[list[float]]
    reused_tokens: int
    seconds: float
    cpu_s: float
    peak_bytes: int
    gpu_peak_bytes: int


class ContestantProcess:
    """A contestant that is open in a process of its own and waits for its turns. To be used as a context.

    Raises `PellucidError` with the reason when it cannot be opened, or when its process dies; its own output goes to `log`.
    """

    def __init__(self, contestant: Contestant, machine: Machine, log: Path) -> None:
        self._name, self._log = contestant.name, log
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_run, args=(there, contestant, machine, log), name=contestant.name, daemon=True)
        # Libraries read it when they are loaded.
        with _environment(environment_of(contestant, machine)):
            self._process.start()
        there.close()
        try:
            self.opened: Opened = self._hear()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def turn(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Turn:
        """Let it go on with these prompts and return when it has. Raises `PellucidError` when it fails or dies."""
        try:
            self._here.send((prompts, new_tokens))
        except OSError as error:
            raise PellucidError(self._ended()) from error
        turn: Turn = self._hear()
        return turn

    def close(self) -> None:
        """End the process. May be called twice."""
        self._here.close()
        self._process.join(timeout=0 if not self._process.is_alive() else 10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _hear(self) -> Any:
        try:
            answer = self._here.recv()
        except (EOFError, OSError) as error:
            raise PellucidError(self._ended()) from error
        if isinstance(answer, str):
            raise PellucidError(answer)
        return answer

    def _ended(self) -> str:
        self._process.join(timeout=10)
        code = self._process.exitcode
        said = self._log.read_text(errors="replace").strip().splitlines() if self._log.is_file() else []
        how = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
        return f"its process ended with {how}" + (f": {said[-1][:200]}" if said else "")


def environment_of(contestant: Contestant, machine: Machine) -> dict[str, str]:
    """Return the environment that a contestant runs in: the user's own, and the number of threads; ours with our settings.

    So another program does not wait by rules that were found for our training.
    """
    given = as_given()
    return {**(with_threads_wait(given) if contestant.program in OURS else given), **dict.fromkeys(_THREADS, str(machine.threads))}


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Let this process have an environment for a moment, which a process that it starts then keeps."""
    kept = {name: os.environ.get(name) for name in {*wanted, *os.environ} if os.environ.get(name) != wanted.get(name)}
    _set({name: wanted.get(name) for name in kept})
    try:
        yield
    finally:
        _set(kept)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _run(connection: Connection, contestant: Contestant, machine: Machine, log: Path) -> None:
    """Open the contestant, then answer turns until the other end is closed. Runs in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if machine.cores is not None:
        os.sched_setaffinity(0, machine.cores)
    try:
        variables = {name: value for name, value in sorted(os.environ.items()) if name.startswith(_TOLD)}
        answer, opened = open_program(contestant, machine)
        connection.send(replace(opened, variables=variables))
        while True:
            prompts, new_tokens = connection.recv()
            started, cpu_s = time.perf_counter(), time.process_time()
            at_s, reused = answer(prompts, new_tokens)
            seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
            connection.send(Turn(at_s, reused, seconds, cpu_s, peak_memory_bytes(), gpu_peak_memory_bytes()))
    except EOFError:
        pass
    except PellucidError as error:
        connection.send(str(error))
    except Exception as error:
        # Other programs fail in ways of their own; it is a line of the table, not the end of the others.
        connection.send(f"{type(error).__name__}: {error}")
    finally:
        sys.stdout.flush()
        # The programs' own threads and servers need not be waited for.
        connection.close()
        os._exit(0)
