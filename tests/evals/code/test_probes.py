import subprocess
import sys
from typing import Any

from pellucid.evals.code import probes
from pellucid.evals.code.job import Check, Outcome
from pellucid.evals.code.sandbox import Sandbox


def bare(program: str, check: Check) -> Outcome:
    """Run a program as any script; what exits with 0 has passed."""
    done = subprocess.run([sys.executable, "-c", f"{program}\n{check.code}"], capture_output=True, text=True, timeout=20)
    return Outcome("failed" if done.returncode else "passed", output=done.stdout)


def test_where_there_is_no_sandbox_every_probe_but_the_wrong_answer_gets_through() -> None:
    found = probes.try_everything(bare, lambda: True)
    assert found["refused"] == ""
    assert len(set(found["escapes"])) == found["probes"] - 2
    assert "a connection was made" in found["escapes"]
    assert "a wrong answer passed" not in found["escapes"]


def test_in_the_sandbox_none_does(sandbox: Sandbox) -> None:
    assert sandbox.self_test["escapes"] == []
    assert sandbox.self_test["probes"] == 12


def test_a_sandbox_in_which_nothing_works_is_refused() -> None:
    def broken(program: str, check: Check) -> Outcome:
        return Outcome("killed", "signal 31")

    found: dict[str, Any] = probes.try_everything(broken, lambda: True)
    assert "signal 31" in found["refused"]
