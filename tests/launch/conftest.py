"""Stand-ins for torchrun, srun, scontrol and scancel that write down how a real shell called them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.recipe.launch import LaunchConfig

_STANDIN = """\
#!{python}
import json, os, signal, subprocess, sys, time

name, words, folder = os.path.basename(sys.argv[0]), sys.argv[1:], {folder!r}


def note(**more):
    with open(folder + "/calls.jsonl", "a") as file:
        file.write(json.dumps({{"name": name, "words": words, **more}}) + "\\n")


def leave(number, frame):
    note(signal=number)
    sys.exit(1)


if name == "torchrun":
    signal.signal(signal.SIGTERM, leave)
    with open(folder + "/torchrun.pid", "w") as file:
        file.write(str(os.getpid()))
    note(environment=dict(os.environ))
    for _ in range(600 if os.path.exists(folder + "/long") else 0):
        time.sleep(0.1)
    sys.exit(int(os.environ.get("TORCHRUN_STATUS", "0")))
note()
if name == "srun":
    while words[0].startswith("--"):
        words.pop(0)
    sys.exit(subprocess.run(words).returncode)
if name == "scontrol" and words[0] == "show":
    print("node-a1\\nnode-a2\\nnode-b7")
if name == "scancel":
    os.kill(int(open(folder + "/torchrun.pid").read()), signal.SIGTERM)
"""


class Standins:
    """A folder of stand-ins, and what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, *names: str) -> None:
        """Make these commands stand-ins."""
        for name in names:
            path = self.folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(_STANDIN.format(python=sys.executable, folder=str(self.folder)))
            path.chmod(0o755)

    def train_long(self) -> None:
        """Let torchrun work until it is told to stop, for a minute at most."""
        (self.folder / "long").touch()

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment in which the stand-ins come first."""
        return {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", **more}

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script with bash, which has found no mistake in it before."""
        path = self.folder / "job"
        path.write_text(script)
        subprocess.run(["bash", "-n", path], check=True)
        return subprocess.run(["bash", path], env=self.environment(**environment), capture_output=True, text=True)

    def calls(self, name: str) -> list[dict[str, Any]]:
        """Return the calls of one command."""
        path = self.folder / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call for line in lines if (call := json.loads(line))["name"] == name]

    def wait_for(self, name: str) -> dict[str, Any]:
        """Return the first call of a command, as soon as there is one."""
        return eventually(lambda: next(iter(self.calls(name)), None))


def eventually(find: Callable[[], Any]) -> Any:
    """Return what `find` finds; give up after a minute."""
    for _ in range(600):
        if found := find():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")


@pytest.fixture
def standins(tmp_path: Path) -> Standins:
    """Stand-ins for torchrun, srun, scontrol and scancel."""
    found = Standins(tmp_path)
    found.add("torchrun", "srun", "scontrol", "scancel")
    return found


@pytest.fixture
def hostile() -> LaunchConfig:
    """A launch section whose every text would do harm where it is not quoted."""
    return LaunchConfig(
        nodes=3,
        devices_per_node=4,
        max_restarts=5,
        environment={"QUOTES": 'it\'s "so" \\ `touch ran` $(touch ran) ${HOME} ; & |\nnext line', "EMPTY": ""},
        setup=("export FROM_SETUP=$NOT_SET_ANYWHERE''yes",),
    )


HOSTILE = ("train", '/a b/it\'s "so".yaml', "--runs", "/$(touch ran)/`x`\nnext", "--set", "description=* ? ~ # ! ;")


@pytest.fixture
def arguments() -> tuple[str, ...]:
    """Arguments of pellucid that a shell would tear apart where they are not quoted."""
    return HOSTILE
