import os
import signal
from pathlib import Path

import pytest

from pellucid.core.errors import DataError, PellucidError
from pellucid.core.processes import run_tasks

pytestmark = pytest.mark.usefixtures("local_ray")


def square(task: int) -> tuple[int, int]:
    return task * task, os.getpid()


def fail(task: int) -> None:
    raise DataError(f"task {task} cannot be done")


def die_once(folder: str) -> str:
    mark = Path(folder) / "tried"
    if not mark.exists():
        mark.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die_over_two(task: int) -> int:
    if task == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def test_tasks_run_in_other_processes_and_give_their_results() -> None:
    results = dict(run_tasks(square, [3, 4, 5], 2, engine="ray"))
    assert {index: value for index, (value, _) in results.items()} == {0: 9, 1: 16, 2: 25}
    assert os.getpid() not in {pid for _, pid in results.values()}


def test_an_exception_comes_out_as_it_was_raised() -> None:
    with pytest.raises(DataError, match="task 7 cannot be done"):
        list(run_tasks(fail, [7], 2, engine="ray"))


def test_a_task_whose_worker_was_killed_runs_again(tmp_path: Path) -> None:
    assert list(run_tasks(die_once, [str(tmp_path)], 2, engine="ray")) == [(0, "done")]


def test_a_task_that_always_kills_its_worker_is_named_after_the_others_are_done() -> None:
    done = []
    with pytest.raises(PellucidError, match="number 2"):
        for _, result in run_tasks(die_over_two, [1, 2, 3, 4], 2, engine="ray", name=lambda task: f"number {task}"):
            done.append(result)
    assert sorted(done) == [1, 3, 4]
