import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.code.job import Check, Limits
from pellucid.evals.code.problems import Problem, load
from pellucid.evals.code.sandbox import Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")

BENCH = Path(__file__).resolve().parents[4] / "shared/data/bench"
LIMITS = Limits(cpu_s=1, wall_s=2.0, memory_bytes=256 << 20)
HALF = (
    "read_file_of_the_user",
    "change_modes",
    "write_new_files",
    "connect_tcp",
    "connect_abstract_socket",
    "signal_everyone",
    "daemon",
)


def test_a_hostile_program_achieves_nothing(hostile: Any, world: Any, sandbox: Sandbox) -> None:
    outcome = sandbox.run(world.program(hostile), world.check())
    assert outcome.status not in ("passed", "refused"), outcome
    assert not world.escapes(outcome), (hostile.about, outcome)


def test_nor_does_it_where_there_are_no_namespaces(hostile: Any, world: Any, fallback: Sandbox) -> None:
    outcome = fallback.run(world.program(hostile), world.check())
    assert outcome.status not in ("passed", "refused"), outcome
    assert not world.escapes(outcome), (hostile.about, outcome)


def test_without_the_sandbox_the_same_program_is_seen_to_achieve_it(control: Any, world: Any) -> None:
    outcome = world.run_without_sandbox(control)
    assert world.escapes(outcome), (control.about, outcome)


@pytest.mark.parametrize("without", [("seccomp",), ("landlock",)])
def test_each_half_of_the_defence_holds_by_itself(without: tuple[Any, ...], world: Any, hostiles: dict[str, Any]) -> None:
    sandbox = Sandbox(LIMITS, without=without)
    sandbox.test()
    for name in HALF:
        hostile = hostiles[name]
        outcome = sandbox.run(world.program(hostile), world.check())
        assert outcome.status not in ("passed", "refused"), (name, outcome)
        assert not world.escapes(outcome, filtered="seccomp" not in without), (name, outcome)


def test_the_filter_is_what_stops_calls_that_a_namespace_alone_would_let_through(world: Any, hostiles: dict[str, Any]) -> None:
    sandbox = Sandbox(LIMITS, without=("seccomp",))
    for name in ("kernel_interfaces", "machine_code", "raw_sockets", "fork_bomb"):
        outcome = sandbox.run(world.program(hostiles[name]), world.check())
        assert f"FORBIDDEN{world.nonce}" in outcome.output, (name, outcome)


def test_the_folder_of_the_fallback_holds_files_that_can_all_be_counted(fallback: Sandbox) -> None:
    program = """
import os
def tried(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"
def f():
    open("file", "w").write("text")
    open("file", "a").write("more")
    return [open("file").read()] + [tried(act) for act in (
        lambda: os.mkdir("folder"),
        lambda: os.unlink("file"),
        lambda: os.rename("file", "other"),
        lambda: os.open(".", os.O_TMPFILE | os.O_RDWR),
        lambda: os.open("file", os.O_RDONLY),
    )]
"""
    outcome = fallback.run(program, Check("assert f() == ['textmore', *['PermissionError'] * 4, 'done'], f()", ("f",)))
    assert outcome.passed, outcome
    parts = "for n in range(9):\n    open(str(n), 'wb').write(bytes(16 << 20))\nimport time\ntime.sleep(60)\n"
    many = "for n in range(2000):\n    open(str(n), 'w')\nimport time\ntime.sleep(60)\n"
    for program in (parts, many):
        outcome = fallback.run(program, Check("", ()))
        assert (outcome.status, "wrote more than" in outcome.excerpt) == ("failed", True), outcome


DEEP = """
import os
try:
    while True:
        os.mkdir("a")
        os.chdir("a")
finally:
    os.mkdir("b", 0o300)
"""


def test_no_tree_of_folders_ends_the_suite(sandbox: Sandbox, fallback: Sandbox) -> None:
    for one in (sandbox, fallback):
        assert one.run(DEEP, Check("", ())).status == "failed"
        assert one.run("def f(): return 1", Check("assert f() == 1", ("f",))).passed


@pytest.mark.parametrize("program", ["while True: pass", "import time\ntime.sleep(600)"])
@pytest.mark.parametrize("without", [(), ("namespaces",)])
def test_when_pellucid_is_killed_nothing_of_it_is_left(program: str, without: tuple[Any, ...], tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    lines = f"""
import tempfile
from pellucid.evals.code.job import Check, Limits
from pellucid.evals.code.sandbox import Sandbox
tempfile.tempdir = {str(tmp_path)!r}
sandbox = Sandbox(Limits(cpu_s=60, wall_s=60.0), without={without!r})
sandbox.test()
print("tested", flush=True)
sandbox.run({program!r}, Check("", ()))
"""

    def left() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if f"{tmp_path}/pellucid-sandbox".encode() in path.read_bytes():
                    found.append(path.parent.name)
        return found

    with subprocess.Popen([sys.executable, "-c", lines], stdout=subprocess.PIPE) as pellucid:
        assert pellucid.stdout is not None
        assert pellucid.stdout.readline() == b"tested\n"
        until = time.monotonic() + 20
        while len(left()) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        assert len(left()) == 2, "the check's process and the program's"
        pellucid.kill()
        pellucid.wait()
        until = time.monotonic() + 2
        while left() and time.monotonic() < until:
            time.sleep(0.05)
        assert left() == []


REFUSE = """
import platform, struct
from pellucid.evals.code import kernel, seccomp
from pellucid.evals.code.job import Check, Limits
from pellucid.evals.code.sandbox import Sandbox
def refuse_unshare(flags):
    number = {"x86_64": 272, "aarch64": 97}[platform.machine()]
    rules = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x45, 0, 1, flags)]
    rules += [(6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000)]
    kernel.no_new_privileges()
    seccomp.install(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
sandbox = Sandbox(Limits(cpu_s=2, wall_s=10.0))
check = Check("assert f() == 1", ("f",))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="any other user needs user namespaces")
def test_root_needs_no_user_namespaces(alone: Callable[..., str]) -> None:
    shown = alone(
        REFUSE + "refuse_unshare(0x10000000)\nsandbox.test()\nprint(sandbox.run('def f(): return 1', check).status)\n"
        "print(*(sandbox.measures[name] for name in ('namespaces', 'users', 'threads', 'user', 'seccomp')))\n"
    )
    assert shown.splitlines() == ["passed", "True False 0 65534 True"]


def test_where_nothing_can_be_unshared_the_fallback_is_taken_and_said(alone: Callable[..., str]) -> None:
    shown = alone(
        REFUSE + "refuse_unshare(0xFFFFFFFF)\nsandbox.test()\nprint(sandbox.run('def f(): return 1', check).status)\n"
        "print(sandbox.measures['namespaces'], sandbox.facts['measures']['no_namespaces'])\n"
    )
    assert shown.startswith("passed\nFalse PermissionError")


def test_a_sandbox_that_was_tested_with_namespaces_runs_nothing_without_them(alone: Callable[..., str]) -> None:
    shown = alone(
        REFUSE + "sandbox.test()\nprint(sandbox.measures['namespaces'])\nrefuse_unshare(0xFFFFFFFF)\n"
        "print(sandbox.run('def f(): return 1', check))\n"
    )
    assert shown.startswith("True\nOutcome(status='refused'"), shown
    shown = alone(
        REFUSE + "sandbox.test()\nsandbox.measures['landlock'] += 1\nprint(sandbox.run('def f(): return 1', check).excerpt)\n"
    )
    assert shown == "not in force as in the sandbox's test: landlock\n"


@pytest.mark.parametrize(
    ("without", "missing"),
    [
        (("namespaces", "landlock"), "Landlock: version 0"),
        (("namespaces", "seccomp"), "seccomp: False"),
        (("seccomp", "namespaces", "landlock"), "no namespaces"),
    ],
)
def test_with_too_few_measures_no_program_is_run_and_what_is_missing_is_said(without: tuple[Any, ...], missing: str) -> None:
    with pytest.raises(UsageError, match=missing):
        Sandbox(LIMITS, without=without).run("def f(): return 1", Check("assert f() == 1", ("f",)))


def test_where_the_kernel_is_another_no_program_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="needs Linux; this is darwin"):
        Sandbox().run("def f(): return 1", Check("assert f() == 1", ("f",)))


@pytest.mark.skipif(os.geteuid() != 0, reason="everything here runs as an ordinary user already")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv to become an ordinary user with")
def test_an_ordinary_user_has_the_same_sandbox() -> None:
    python = "/usr/bin/python3"
    here = Path(__file__).parent
    source = here.parents[2] / "src"
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "-i", f"PYTHONPATH={source}:{here}"]
    able = subprocess.run([*become, python, "-c", "import sys, world; sys.exit(sys.version_info < (3, 11))"], capture_output=True)
    if able.returncode != 0:
        pytest.skip("an ordinary user has no Python 3.11 here, or may not read this folder")
    lines = """
import json, sys, tempfile, world
from pathlib import Path
from pellucid.evals.code.sandbox import Sandbox
found = {}
for without in ((), ("namespaces",)):
    sandbox = Sandbox(world.LIMITS, without=without)
    sandbox.test()
    for hostile in world.hostile_programs():
        if hostile.name in sys.argv[1:]:
            with tempfile.TemporaryDirectory() as folder, world.World(Path(folder)).standing() as one:
                outcome = sandbox.run(one.program(hostile), one.check())
                found[f"{hostile.name} {without}"] = (outcome.status, one.escapes(outcome), sandbox.measures["user"])
print(json.dumps(found))
"""
    done = subprocess.run([*become, python, "-c", lines, *HALF], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 2 * len(HALF)
    for name, (status, escapes, user) in found.items():
        assert status in ("failed", "killed", "timeout", "memory"), name
        assert escapes == [], name
        assert user == 65534


def test_what_a_program_used_and_printed_is_told_within_bounds(sandbox: Sandbox) -> None:
    check = Check("assert f() == 1", ("f",))
    outcome = sandbox.run("print('hello')\nx = b'x' * (50 << 20)\ndef f(): return 1", check)
    assert outcome.passed
    assert outcome.output == "hello\n"
    assert 50 << 20 < outcome.peak_bytes < 100 << 20
    loud = sandbox.run("print('é' * 100_000)\ndef f(): return 1", check)
    assert loud.passed, "printing is no failure below the limit"
    assert loud.printed_bytes == 200_001
    assert len(loud.output) == 2000
    wrong = sandbox.run("def f():\n    return undefined", check)
    assert wrong.status == "failed"
    assert wrong.excerpt == "NameError: name 'undefined' is not defined (line 2)"


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("while True: pass", "timeout"),
        ("import time\ntime.sleep(60)", "timeout"),
        ("x = b'x' * (1 << 30)", "memory"),
        ("import ctypes\nctypes.string_at(0)", "killed"),
        ("import os\nos._exit(3)", "failed"),
    ],
)
def test_each_end_has_its_name(program: str, status: str, sandbox: Sandbox) -> None:
    assert sandbox.run(program, Check("assert f() == 1", ("f",))).status == status


def test_signals_without_a_name_are_told_by_their_number(fallback: Sandbox) -> None:
    outcome = fallback.run("import os\nos.kill(os.getpid(), 35)", Check("", ()))
    assert (outcome.status, outcome.excerpt) == ("killed", "signal 35")


def test_a_program_may_use_the_library_threads_its_folder_and_the_packages_that_are_named() -> None:
    sandbox = Sandbox(packages=("numpy",))
    program = (
        "import ctypes, dataclasses, datetime, decimal, json, lzma, random, re, sqlite3, ssl, statistics, tempfile, threading\n"
        "import numpy as np\n"
        "def f():\n"
        "    with tempfile.NamedTemporaryFile('w+') as file:\n"
        "        file.write('4')\n        file.seek(0)\n        total = int(file.read())\n"
        "    found = []\n"
        "    thread = threading.Thread(target=lambda: found.append(3))\n    thread.start()\n    thread.join()\n"
        "    return int(np.ones((4, 4)).sum()) + total + found[0]\n"
    )
    outcome = sandbox.run(program, Check("assert f() == 23", ("f",)))
    if sandbox.measures["threads"]:
        assert outcome.passed, outcome
    else:
        assert "thread" in outcome.excerpt
    with pytest.raises(UsageError, match="no_such_package is not installed"):
        Sandbox(packages=("no_such_package",)).run("", Check("", ()))


def _broken(problem: Problem) -> str:
    """Return the reference with the value of every return replaced."""

    class Break(ast.NodeTransformer):
        def visit_Return(self, node: ast.Return) -> ast.Return:
            return ast.Return(ast.Constant("broken"))

    return ast.unparse(ast.fix_missing_locations(Break().visit(ast.parse(problem.reference))))


def _both(sandbox: Sandbox, problems: Sequence[Problem]) -> list[tuple[str, str, str]]:
    with ThreadPoolExecutor(2) as pool:
        right = list(pool.map(lambda one: sandbox.run(one.reference, one.check), problems))
        wrong = list(pool.map(lambda one: sandbox.run(_broken(one), one.check), problems))
    return [(one.id, a.status, b.status) for one, a, b in zip(problems, right, wrong, strict=True)]


def _humaneval() -> tuple[Problem, ...]:
    try:
        return load("humaneval", str(BENCH)).problems
    except UsageError:
        pytest.skip("HumanEval is not here")


def test_published_solutions_pass_and_broken_ones_do_not(sandbox: Sandbox) -> None:
    special = ("HumanEval/32", "HumanEval/33", "HumanEval/38", "HumanEval/50")  # their tests use more than the function itself
    chosen = [problem for number, problem in enumerate(_humaneval()) if problem.id in special or number % 40 == 0]
    assert [one for one in _both(sandbox, chosen) if one[1:] != ("passed", "failed")] == []


@pytest.mark.slow
def test_all_published_solutions_pass_and_broken_ones_do_not() -> None:
    sandbox = Sandbox(Limits(cpu_s=10, wall_s=60))
    for problems in (_humaneval(), load("mbpp", str(BENCH)).problems, load("mbpp_sanitized", str(BENCH)).problems):
        seen = _both(sandbox, problems)
        assert [one for one in seen if one[1] != "passed"] == []
        assert [one for one in seen if one[2] == "passed"] == []
