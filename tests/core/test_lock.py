import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError, RunLockedError
from pellucid.core.ledger import Ledger
from pellucid.core.lock import run_lock

HOLD = """
import sys, time
from pathlib import Path
from pellucid.core.lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_the_run_and_a_dead_holder_lets_go(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(RunLockedError, match=str(process.pid)), run_lock(tmp_path / "run"):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with run_lock(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    told = rf"{tmp_path} is on a file system without locks .*-o flock.*--runs DIR"
    with pytest.raises(ArtifactError, match=told), run_lock(tmp_path):
        pass
    with pytest.raises(ArtifactError, match=told):
        Ledger(tmp_path).append("start", stage="plan", attempt=1)


def test_another_error_of_locking_is_not_taken_for_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match=r"Input/output error.*\.lock"), run_lock(tmp_path):
        pass
