import os
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.core.errors import RunLockedError
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
