import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pellucid.core.cpu_time import cpu_seconds, process_started

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"


def burn(seconds: float) -> None:
    import time

    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc")
def test_threads_children_and_their_children_count_while_they_run_and_when_they_have_ended() -> None:
    before = cpu_seconds()
    thread = threading.Thread(target=burn, args=(0.3,))
    thread.start()
    thread.join()
    after_thread = cpu_seconds()
    assert after_thread - before >= 0.25
    # A grandchild, whose parent lives on: what a pool's worker is.
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); print(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    living = cpu_seconds()
    assert living - after_thread >= 0.35
    child.communicate()
    assert cpu_seconds() - after_thread >= 0.35


def test_where_there_is_no_proc_the_process_and_its_ended_children_count(tmp_path: Path) -> None:
    before = cpu_seconds(proc=tmp_path)
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert cpu_seconds(proc=tmp_path) - before >= 0.35
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert before >= 0 and cpu_seconds(proc=tmp_path) >= used.ru_utime


def stat(proc: Path, pid: int, parent: int, name: str, own: int, waited: int, state: str = "S") -> None:
    (proc / str(pid)).mkdir(parents=True)
    fields = [state, str(parent), *["0"] * 9, str(own), "0", str(waited), "0", *["0"] * 4, "777", *["0"] * 20]
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")


def test_names_with_brackets_and_strangers_do_not_confuse_the_tree(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    stat(tmp_path, 10, 1, "a ) R 4 (b", 2 * ticks, 3 * ticks)
    stat(tmp_path, 11, 10, "worker", 5 * ticks, 0)
    stat(tmp_path, 12, 1, "stranger", 100 * ticks, 0)
    (tmp_path / "13").mkdir()  # gone between listing and reading
    assert cpu_seconds(10, tmp_path) == 10.0


def test_a_process_is_known_by_when_it_was_started_and_a_dead_one_is_none(tmp_path: Path) -> None:
    stat(tmp_path, 10, 1, "x", 0, 0)
    stat(tmp_path, 11, 1, "zombie", 0, 0, state="Z")
    assert process_started(10, tmp_path) == "777"
    assert process_started(11, tmp_path) is None and process_started(12, tmp_path) is None
