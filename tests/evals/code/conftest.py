"""Hostile programs and the world they are let loose in; problems in the form of HumanEval and MBPP, written for these tests."""

import gzip
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pellucid.evals.code import landlock
from pellucid.evals.code.remote import Caller, serve
from pellucid.evals.code.sandbox import Sandbox
from pellucid.evals.code.values import Wire

SOURCE = Path(__file__).parents[3] / "src"


def _world_module() -> ModuleType:
    if "hostile_world" not in sys.modules:
        spec = importlib.util.spec_from_file_location("hostile_world", Path(__file__).with_name("world.py"))
        assert spec is not None and spec.loader is not None
        sys.modules["hostile_world"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["hostile_world"])
    return sys.modules["hostile_world"]


HOSTILE = _world_module().hostile_programs()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hostile" in metafunc.fixturenames:
        metafunc.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
    if "control" in metafunc.fixturenames:
        controls = [hostile for hostile in HOSTILE if hostile.flag in ("control", "forges")]
        metafunc.parametrize("control", controls, ids=lambda hostile: hostile.name)


@pytest.fixture(scope="module", autouse=True)
def on_disk() -> Iterator[None]:
    """Files lie where those of a user do: all below /dev, and so what tests write to RAM, is withheld from programs anyhow."""
    disk = os.environ.get("PELLUCID_TESTS_DISK", tempfile.gettempdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", disk)
        patch.setattr(tempfile, "tempdir", disk)
        yield


@pytest.fixture
def tmp_path(on_disk: None) -> Iterator[Path]:
    """In place of pytest's own, which may be in RAM."""
    folder = Path(tempfile.mkdtemp(prefix="pellucid-tests-")).resolve()
    (folder / "own").mkdir(mode=0o700)
    yield folder / "own"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hostiles() -> dict[str, object]:
    """The hostile programs by name."""
    return {hostile.name: hostile for hostile in HOSTILE}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[object]:
    with _world_module().World(tmp_path).standing() as world:
        yield world


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """A sandbox with small limits, tested once."""
    if sys.platform != "linux":
        pytest.skip("the sandbox needs Linux")
    sandbox = Sandbox(_world_module().LIMITS)
    sandbox.test()
    return sandbox


@pytest.fixture(scope="session")
def fallback() -> Sandbox:
    """The sandbox of a machine without namespaces, tested once."""
    if sys.platform != "linux":
        pytest.skip("the sandbox needs Linux")
    if landlock.version() < 3:
        pytest.skip("no Landlock from version 3 on")
    sandbox = Sandbox(_world_module().LIMITS, without=("namespaces",))
    sandbox.test()
    return sandbox


@pytest.fixture
def alone() -> Callable[..., str]:
    """Runs lines in a process of their own, since what they do to it cannot be undone; returns what they print."""

    def run(lines: str, *arguments: str) -> str:
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{lines}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def serving() -> Iterator[Callable[[str], Caller]]:
    """Serves a harmless program from a thread of this process and returns the end that calls it."""
    started: list[tuple[int, int, threading.Thread]] = []

    def start(program: str) -> Caller:
        (asking, asked), (answering, answered) = os.pipe(), os.pipe()
        thread = threading.Thread(target=serve, args=(Wire(asking, answered, 1 << 20), program))
        thread.start()
        started.append((asked, answering, thread))
        return Caller(Wire(answering, asked, 1 << 20))

    yield start
    for asked, answering, thread in started:
        os.close(asked)
        thread.join()
        os.close(answering)


@pytest.fixture
def code_data(tmp_path: Path) -> Path:
    """A folder in the published layouts with a few problems of our own: two like HumanEval's, six like MBPP's."""
    folder = tmp_path / "code-data"
    humaneval = [
        {
            "task_id": "Own/0",
            "prompt": 'from typing import List\n\n\ndef add_up(xs: List[int]) -> int:\n    """Add the numbers."""\n',
            "entry_point": "add_up",
            "canonical_solution": "    return sum(xs)\n",
            "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n",
        },
        {
            "task_id": "Own/1",
            "prompt": 'def twice(x):\n    return 2 * x\n\n\ndef halve(x):\n    """Undo twice."""\n',
            "entry_point": "halve",
            "canonical_solution": "    return x // 2\n",
            "test": "def check(candidate):\n    for x in range(9):\n        assert candidate(twice(x)) == x\n",
        },
    ]
    mbpp = [
        {
            "task_id": number,
            "text": f"Write function {number}.",
            "code": f"def f{number}(x):\r\n    return x + {number}",
            "test_setup_code": "",
            "test_list": [
                f"assert f{number}(1) == {number + 1}",
                f"assert f{number}(0) == {number}",
                f"assert f{number}(-1) < {number}",
            ],
        }
        for number in (2, 3, 4, 11, 600)
    ]
    tree = "class Node:\n    def __init__(self):\n        self.next = None\n\n"
    tree += "def depth(n):\n    return 0 if n is None else 1 + depth(n.next)"
    mbpp += [
        {
            "task_id": 12,
            "text": "Own sum.",
            "code": "def sum(a, b):\n    return a * b",
            "test_setup_code": "",
            "test_list": ["assert sum(2, 4) == 8"],
        },
        {
            "task_id": 510,
            "text": "How deep.",
            "code": tree,
            "test_setup_code": "root = Node()\r\nroot.next = Node()",
            "test_list": ["assert math.isclose(depth(root), 2)"],
        },
    ]
    (folder / "humaneval").mkdir(parents=True)
    (folder / "mbpp").mkdir()
    (folder / "humaneval/HumanEval.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps(row) + "\n" for row in humaneval).encode())
    )
    (folder / "mbpp/mbpp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mbpp))
    return folder
