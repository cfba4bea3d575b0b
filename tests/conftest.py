"""One finished smoke run, shared by all tests that only read; tests that change something take a copy."""

import fcntl
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from pellucid.cli.main import main

ROOT = Path(__file__).parents[1]

# The same examples on every machine; `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("same")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a finished `pocket-smoke` run; made once, also when tests run in several processes."""
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    runs = shared / "smoke-runs"
    runs.mkdir(exist_ok=True)
    with (shared / "smoke-runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (runs / "done").exists():
            assert main(["run", str(ROOT / "recipes" / "pocket-smoke.yaml"), "--runs", str(runs)]) == 0
            (runs / "done").touch()
    return runs / "pocket-smoke"


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may damage. Its parent is the `--runs` folder."""
    copy = tmp_path / "runs" / finished_run.name
    shutil.copytree(finished_run, copy)
    return copy
