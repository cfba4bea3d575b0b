import os
import signal
from pathlib import Path

import psutil
import pytest

from pellucid.core.errors import PellucidError
from pellucid.core.threads_wait import THREADS_WAIT, let_threads_sleep
from pellucid.stages.contestant_process import ContestantProcess, environment_of
from pellucid.stages.contestant_programs import Contestant, Machine, Program

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
        before = own.memory_info().rss
        turn = process.turn(PROMPTS, 30)
        assert [len(times) for times in turn.at_s] == [30, 30] and turn.reused_tokens == 0
        assert max(map(max, turn.at_s)) <= turn.seconds and turn.cpu_s > 0
        # The system counts pages by the thread and sums them up now and then, so two readings may differ by some.
        assert turn.peak_bytes > before - 2**20 and before > process.opened.before_bytes // 2
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


@pytest.mark.parametrize(("program", "place"), [("llama.cpp", "gguf/model-F16.gguf"), ("Pellucid", "hf")])
def test_our_own_programs_run_with_our_settings_and_others_as_the_user_had_it(
    program: Program, place: str, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THREADS_WAIT:
        monkeypatch.setenv(name, "")  # so that what is set is taken back after the test
        monkeypatch.delenv(name)
    one = Contestant("run", program, "", finished_run / "exports" / place)
    wanted = THREADS_WAIT if program == "Pellucid" else {}
    # As the command line calls it, which has set them for itself, or as a script does.
    for prepare in (let_threads_sleep, lambda: None)[program == "Pellucid" :]:
        prepare()
        given = dict(os.environ)
        with ContestantProcess(one, Machine(1, None, 1, 16), tmp_path / "log") as process:
            there = psutil.Process(process._process.pid).environ()
            assert {name: there[name] for name in THREADS_WAIT if name in there} == wanted
            told = process.opened.variables
            assert {name: told[name] for name in THREADS_WAIT if name in told} == wanted and told["MKL_NUM_THREADS"] == "1"
            assert told.items() <= there.items() and "PATH" not in told
        assert dict(os.environ) == given


def test_what_the_user_said_holds_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    for program in ("Pellucid", "llama.cpp", "llama.cpp, served", "transformers"):
        found = environment_of(Contestant("run", program, "", None), Machine(3, None, 1, 16))  # type: ignore[arg-type]
        assert found["OMP_WAIT_POLICY"] == "ACTIVE" and "GOMP_SPINCOUNT" not in found and found["OMP_NUM_THREADS"] == "3"
