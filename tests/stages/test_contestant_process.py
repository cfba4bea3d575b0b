import os
import signal
from pathlib import Path

import psutil
import pytest

from pellucid.core.errors import PellucidError
from pellucid.stages.contestant_process import ContestantProcess
from pellucid.stages.contestant_programs import Contestant, Machine

pytest.importorskip("xllamacpp")
PROMPTS = [[5, 6, 7, 8], [9, 8, 7, 6]]


@pytest.fixture
def cores() -> tuple[int, ...]:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not pin processes to cores")
    return (max(os.sched_getaffinity(0)),)


def contestant(run: Path) -> Contestant:
    return Contestant("run", "llama.cpp", "F16", run / "exports" / "gguf" / "model-F16.gguf")


def test_a_turn_is_measured_in_a_process_of_its_own_on_its_own_core(
    finished_run: Path, tmp_path: Path, cores: tuple[int, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    given = dict(os.environ)
    with ContestantProcess(contestant(finished_run), Machine(1, cores, 2, 40), tmp_path / "log") as process:
        own = psutil.Process(process._process.pid)
        assert own.ppid() == os.getpid() and own.cpu_affinity() == list(cores)
        assert own.environ()["OMP_NUM_THREADS"] == "1" and dict(os.environ) == given
        turn = process.turn(PROMPTS, 30)
        assert [len(times) for times in turn.at_s] == [30, 30] and turn.reused_tokens == 0
        assert max(map(max, turn.at_s)) <= turn.seconds and turn.cpu_s > 0
        assert turn.peak_bytes >= own.memory_info().rss > process.opened.before_bytes // 2
    assert not own.is_running()
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_damaged_is_told_with_the_reason(finished_run: Path, tmp_path: Path) -> None:
    whole = contestant(finished_run)
    assert whole.path is not None
    (tmp_path / "cut.gguf").write_bytes(whole.path.read_bytes()[:5000])
    with pytest.raises(PellucidError, match=r"does not load .*cut\.gguf"):
        ContestantProcess(Contestant("run", "llama.cpp", "", tmp_path / "cut.gguf"), Machine(1, None, 1, 16), tmp_path / "log")


def test_a_turn_that_fails_and_a_process_that_is_killed_are_told(finished_run: Path, tmp_path: Path) -> None:
    with ContestantProcess(contestant(finished_run), Machine(1, None, 1, 16), tmp_path / "log") as process:
        with pytest.raises(PellucidError, match="cannot compute"):
            process.turn([[10**6]], 2)
        with pytest.raises(PellucidError, match="ended with status 0"):
            process.turn(PROMPTS, 2)
    with ContestantProcess(contestant(finished_run), Machine(1, None, 1, 16), tmp_path / "log") as process:
        assert process._process.pid is not None
        os.kill(process._process.pid, signal.SIGKILL)
        process._process.join()
        with pytest.raises(PellucidError, match="ended with signal 9"):
            process.turn(PROMPTS, 2)
        process.close()
