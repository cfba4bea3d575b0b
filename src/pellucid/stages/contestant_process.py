"""A program of the throughput table in a process of its own, so that its memory, threads and cores are nobody else's."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from pellucid.core.errors import PellucidError
from pellucid.stages.contestant_programs import (
    Contestant,
    Machine,
    Opened,
    gpu_peak_memory_bytes,
    open_program,
    peak_memory_bytes,
)

__all__ = ["ContestantProcess", "Turn"]

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


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
        kept = {name: os.environ.get(name) for name in _THREADS}
        # Libraries read these when they are loaded.
        os.environ.update(dict.fromkeys(_THREADS, str(machine.threads)))
        try:
            self._process.start()
        finally:
            for name, value in kept.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
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


def _run(connection: Connection, contestant: Contestant, machine: Machine, log: Path) -> None:
    """Open the contestant, then answer turns until the other end is closed. Runs in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if machine.cores is not None:
        os.sched_setaffinity(0, machine.cores)
    try:
        answer, opened = open_program(contestant, machine)
        connection.send(opened)
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
