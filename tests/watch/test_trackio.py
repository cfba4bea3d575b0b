"""What trackio's own interface reads from what was written, by a process without any network."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.watch.records import flat_values

pytest.importorskip("trackio")
WRITE = """
import sys
from pathlib import Path
from pellucid.watch.follow import StageCopy
from pellucid.watch.trackio import TrackioTarget
stage, folder = map(Path, sys.argv[1:])
def opened(number):
    target = TrackioTarget(folder / "out", "pocket", f"pretrain-{number}")
    assert not target.rewind(10 ** 9)
    return target
copy = StageCopy(stage, folder / "memory.json", opened)
while copy.poll():
    pass
copy.close()
"""
READ = """
import json, os, sys
os.environ["TRACKIO_DIR"] = sys.argv[1]
import trackio
from trackio.sqlite_storage import SQLiteStorage
runs = [run.name for run in trackio.Api().runs("pocket")]
print(json.dumps({name: SQLiteStorage.get_logs("pocket", name) for name in runs}))
"""


def run(code: str, *arguments: object) -> str:
    unshare = shutil.which("unshare")
    can = unshare and subprocess.run([unshare, "--net", "true"], capture_output=True).returncode == 0
    command = [*([unshare, "--net"] if can else []), sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1] if done.stdout else ""


def test_trackio_holds_every_value_of_the_metrics_and_a_restart_writes_no_step_twice(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 150)
    run(WRITE, written.folder, tmp_path)
    written.train(151, 180, figures={"margin": 0.25})
    run(WRITE, written.folder, tmp_path)
    (logs,) = json.loads(run(READ, tmp_path / "out")).values()
    assert [log["step"] for log in logs] == list(range(1, 181))
    for log, line in zip(logs, written.lines[1:], strict=True):
        told = {name: value for name, value in log.items() if name not in ("step", "timestamp", "run_id")}
        assert told == {"tokens": line["tokens"]} | flat_values(line)


def test_a_resumed_stage_is_a_further_run_with_all_of_its_steps(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 30)
    run(WRITE, written.folder, tmp_path)
    written.resume(20)
    written.train(21, 40, loss=1.5)
    run(WRITE, written.folder, tmp_path)
    runs = json.loads(run(READ, tmp_path / "out"))
    assert [log["step"] for log in runs["pretrain-1"]] == list(range(1, 31))
    assert [log["step"] for log in runs["pretrain-2"]] == list(range(1, 41))
    assert runs["pretrain-2"][-1]["loss"] == 1.5
