import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.evals.code import landlock

pytestmark = pytest.mark.skipif(sys.platform != "linux" or not landlock.version(), reason="no Landlock")

LINES = """
import os
from pellucid.evals.code import kernel, landlock
kernel.no_new_privileges()
rules = {sys.argv[1]: landlock.READ, sys.argv[2]: landlock.READ | landlock.WRITE, sys.argv[4]: landlock.READ | landlock.ADD}
print(landlock.restrict(rules, alone=True) == landlock.version())
acts = {
    "read": lambda: open(sys.argv[1] + "/file").read(),
    "write": lambda: open(sys.argv[1] + "/file", "w"),
    "outside": lambda: open(sys.argv[3]).read(),
    "own": lambda: open(sys.argv[2] + "/new", "w").write("x"),
    "remove": lambda: os.remove(sys.argv[1] + "/file"),
    "add": lambda: open(sys.argv[4] + "/new", "w").write("x"),
    "add a folder": lambda: os.mkdir(sys.argv[4] + "/folder"),
    "remove what was added": lambda: os.remove(sys.argv[4] + "/new"),
    "signal": lambda: os.kill(os.getppid(), 0),
}
for name, act in acts.items():
    try:
        act()
        print(name)
    except PermissionError:
        print("no", name)
"""


def test_only_the_named_folders_are_open_and_each_only_as_far_as_it_says(tmp_path: Path, alone: Callable[..., str]) -> None:
    for folder in ("readable", "own", "added"):
        (tmp_path / folder).mkdir()
    for file in ("readable/file", "outside"):
        (tmp_path / file).write_text("text")
    shown = alone(LINES, *(str(tmp_path / name) for name in ("readable", "own", "outside", "added"))).splitlines()
    signalled = ["no signal"] if landlock.version() >= 6 else ["signal"]
    added = ["add", "no add a folder", "no remove what was added"]
    assert shown == ["True", "read", "no write", "no outside", "own", "no remove", *added, *signalled]
    assert (tmp_path / "own/new").read_text() == "x"
