import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.attempts import read_attempts
from pellucid.core.ledger import Ledger, read_ledger
from pellucid.core.settle import settle, this_process

ENERGY = {"joules": 30.0, "kind": "estimated", "counters": [], "missing": {}, "cpu_s": 2.5}


def gone() -> dict[str, Any]:
    """A process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {**this_process(holds_run=False), "pid": process.pid, "since": "1"}


def test_an_attempt_whose_process_is_gone_is_killed_with_what_was_last_known(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append("start", stage="pretrain", attempt=1, process=gone())
    ledger.append("alive", stage="pretrain", attempt=1, seconds=60.0, energy=ENERGY)
    found = settle(tmp_path, holds_run=False)
    assert found == read_attempts(tmp_path)
    (one,) = found
    assert (one.outcome, one.seconds, one.joules, one.cpu_s, one.measured) == ("killed", 60.0, 30.0, 2.5, False)
    assert one.message == "killed; last seen after 60 s"
    size = ledger.path.stat().st_size
    assert settle(tmp_path, holds_run=True) == found and ledger.path.stat().st_size == size


def test_one_that_is_still_there_is_left_alone(tmp_path: Path) -> None:
    Ledger(tmp_path).append("start", stage="evaluate", attempt=1, process=this_process(holds_run=False))
    assert [one.outcome for one in settle(tmp_path, holds_run=True)] == ["running"]


def test_another_process_with_the_same_number_is_not_the_one_that_wrote(tmp_path: Path) -> None:
    mine = this_process(holds_run=False)
    if mine["since"] is None:
        pytest.skip("the system does not tell when a process was started")
    Ledger(tmp_path).append("start", stage="evaluate", attempt=1, process={**mine, "since": "1"})
    assert [one.outcome for one in settle(tmp_path, holds_run=False)] == ["killed"]


@pytest.mark.parametrize(("held", "holds", "outcome"), [(True, True, "killed"), (True, False, "running"), (False, True, "running")])
def test_of_another_machine_is_known_only_that_it_had_the_run_to_itself(
    tmp_path: Path, held: bool, holds: bool, outcome: str
) -> None:
    elsewhere = {"pid": os.getpid(), "host": "elsewhere", "since": "1", "holds_run": held}
    Ledger(tmp_path).append("start", stage="pretrain", attempt=1, process=elsewhere)
    assert [one.outcome for one in settle(tmp_path, holds_run=holds)] == [outcome]


def test_another_machine_that_has_been_silent_for_ten_beats_is_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    elsewhere = {"pid": 1, "host": "elsewhere", "since": "1", "holds_run": False}
    with monkeypatch.context() as patched:
        patched.setattr(time, "gmtime", lambda: time.struct_time((2026, 1, 1, 0, 0, 0, 0, 1, 0)))
        Ledger(tmp_path).append("start", stage="evaluate", attempt=1, process=elsewhere)
    assert [one.outcome for one in settle(tmp_path, holds_run=False)] == ["killed"]


def test_a_damaged_ledger_is_no_reason_not_to_go_on(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append("start", stage="plan", attempt=1, process=gone())
    ledger.append("start", stage="shards", attempt=1, process=gone())
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b'"stage":"plan"', b'"stage":"plam"'))
    assert [(one.stage, one.outcome) for one in settle(tmp_path, holds_run=True)] == [("plam", "killed"), ("shards", "killed")]
    assert [event["event"] for event in read_ledger(ledger.path, checked=False)] == ["start", "start", "killed", "killed"]


def test_two_attempts_under_one_number_are_settled_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for _ in range(2):
        ledger.append("start", stage="evaluate", attempt=1, process=gone())
    assert [one.outcome for one in settle(tmp_path, holds_run=False)] == ["killed", "killed"]
    size = ledger.path.stat().st_size
    assert [one.outcome for one in settle(tmp_path, holds_run=False)] == ["killed", "killed"]
    assert ledger.path.stat().st_size == size


def test_fields_of_somebody_elses_ledger_that_cannot_be_read_keep_nobody_from_work(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append("start", stage="plan", attempt="x", process=gone())
    ledger.append("start", stage="plan", attempt=1, process={**gone(), "pid": "x"})
    ledger.append("start", stage="plan", attempt=2, process={"host": this_process(holds_run=False)["host"]})
    assert [(one.number, one.outcome) for one in settle(tmp_path, holds_run=True)] == [(2, "killed")]


def test_no_ledger_has_no_attempts(tmp_path: Path) -> None:
    assert settle(tmp_path, holds_run=True) == []
    assert not list(tmp_path.iterdir())
