import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pellucid.core.errors import DataError, PellucidError
from pellucid.core.processes import available_cores, end_workers, run_apart, run_tasks


@pytest.fixture(autouse=True)
def tests_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # spawned processes import this file by its full name


def describe(task: int) -> tuple[int, int]:
    return task * task, os.getpid()


def fail_or_wait(task: int) -> None:
    if task == 0:
        raise DataError("the first task cannot be done")
    time.sleep(60)


def kill_self_over_two(task: int) -> int:
    if task == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def kill_self_once(path: str) -> str:
    if not Path(path).exists():
        Path(path).write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def say_pid_and_wait(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_gives_its_result_wherever_it_ran(workers: int) -> None:
    results = dict(run_tasks(describe, [3, 4, 5], workers))
    assert {index: square for index, (square, _) in results.items()} == {0: 9, 1: 16, 2: 25}
    assert (os.getpid() in {pid for _, pid in results.values()}) == (workers == 1)


def test_workers_stay_for_the_next_tasks_until_they_are_ended() -> None:
    first = {pid for _, (_, pid) in run_tasks(describe, [1, 2, 3, 4], 2)}
    workers = {child.pid for child in multiprocessing.active_children()}
    again = {pid for _, (_, pid) in run_tasks(describe, [5, 6, 7, 8], 2)}
    # Which of the two takes a task is chance, and one of them may take all.
    assert first <= workers and again <= workers
    end_workers()
    assert not any(_alive(pid) for pid in first | again)


def test_a_task_apart_has_a_process_of_its_own_that_is_gone_when_it_is_done() -> None:
    square, pid = run_apart(describe, 7, "seven")
    assert square == 49 and pid != os.getpid() and not _alive(pid)
    with pytest.raises(DataError, match="the first task cannot be done"):
        run_apart(fail_or_wait, 0, "nought")
    with pytest.raises(PellucidError, match=r"a worker process was killed over each of these[\s\S]*number two\n"):
        run_apart(kill_self_over_two, 2, "number two")


def test_there_is_at_least_one_core() -> None:
    assert available_cores() >= 1


def test_the_first_error_ends_the_other_tasks_and_keeps_its_words() -> None:
    before = set(multiprocessing.active_children())
    with pytest.raises(DataError, match="the first task cannot be done"):
        list(run_tasks(fail_or_wait, [0, 1, 2], 2))
    assert set(multiprocessing.active_children()) <= before


def test_a_task_that_always_kills_its_worker_is_named_after_the_others_are_done() -> None:
    done = []
    with pytest.raises(PellucidError, match=r"a worker process was killed over each of these[\s\S]*number 2\n"):
        for index, result in run_tasks(kill_self_over_two, [1, 2, 3, 4, 5], 2, name=lambda task: f"number {task}"):
            done.append((index, result))
    assert sorted(done) == [(0, 1), (2, 3), (3, 4), (4, 5)]


def test_a_task_whose_worker_was_killed_once_runs_again(tmp_path: Path) -> None:
    tasks = [str(tmp_path / name) for name in ("a", "b", "c")]
    assert sorted(run_tasks(kill_self_once, tasks, 2)) == [(0, "done"), (1, "done"), (2, "done")]


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_processes import run_tasks, say_pid_and_wait\n"
        f"if __name__ == '__main__': list(run_tasks(say_pid_and_wait, [{str(tmp_path / 'a')!r}, {str(tmp_path / 'b')!r}], 2))\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    parent = subprocess.Popen([sys.executable, str(script)])
    try:
        pids = [int(_eventually(lambda name=name: (tmp_path / name).read_text())) for name in ("a", "b")]
    finally:
        parent.kill()
        parent.wait()
    for pid in pids:
        _eventually(lambda pid=pid: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _eventually(question):  # type: ignore[no-untyped-def]
    for _ in range(1200):
        try:
            if answer := question():
                return answer
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not happen within a minute")
