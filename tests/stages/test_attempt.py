import errno
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.artifacts import Key, building, read_manifest
from pellucid.core.attempts import read_attempts
from pellucid.core.errors import DiskFullError, StoppedError, TrainingError
from pellucid.core.files import sha256_file, write_bytes, write_json
from pellucid.core.ledger import Ledger, read_ledger
from pellucid.core.spending import Rates, spending_of
from pellucid.plan.devices import Range, device_named
from pellucid.recipe.after import PlanConfig
from pellucid.recipe.load import load_recipe
from pellucid.stages import attempt as module
from pellucid.stages.attempt import Processes, attempt
from pellucid.stages.run_folder import RECIPE_FILE, dump_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"
CPU, GPUS = PlanConfig(), PlanConfig(device="A100-40GB", devices=8)


def events(run: Path) -> list[dict[str, Any]]:
    return list(read_ledger(run / "ledger.jsonl", whole=True))


def test_a_start_says_what_and_where_and_an_end_what_came_of_it(tmp_path: Path) -> None:
    write_bytes(tmp_path / RECIPE_FILE, dump_recipe(load_recipe(RECIPE)).encode())
    key = Key("plan", 1, 0, {}, {})
    with attempt(tmp_path, "plan", plan=PlanConfig(), inputs={"a": "b"}, continues=False) as work:
        with building(tmp_path / "plan", key, energy=work.energy) as build:
            (build.path / "file").write_text("x")
        work.made(tmp_path / "plan", {"files": 1})
    start, end = events(tmp_path)
    assert (start["event"], start["stage"], start["attempt"]) == ("start", "plan", 1)
    assert (start["inputs"], start["continues"]) == ({"a": "b"}, False)
    assert start["recipe_file"] == sha256_file(tmp_path / RECIPE_FILE)
    assert start["device"] == {"name": "cpu-2-core", "count": 1, "watts": 8.0, "cores": 2, "nodes": 1}
    assert "python" in start["environment"] and start["code_version"] and start["process"]["pid"] == os.getpid()
    assert (end["event"], end["folder"], end["summary"]) == ("end", "plan", {"files": 1})
    assert end["manifest"] == sha256_file(tmp_path / "plan" / "manifest.json")
    of_manifest = read_manifest(tmp_path / "plan").energy
    assert of_manifest.keys() == end["energy"].keys() == {"joules", "kind", "counters", "missing", "cpu_s"}
    assert of_manifest["joules"] <= end["energy"]["joules"]


def test_a_machine_that_was_measured_draws_what_its_plan_says(tmp_path: Path) -> None:
    here = device_named("cpu-2-core").model_copy(update={"cores": 4, "power_w": Range(low=1, likely=3, high=5)})
    write_json(tmp_path / "plan" / "machine.json", here.model_dump(mode="json"))
    with attempt(tmp_path, "report", plan=PlanConfig(device="here")):
        pass
    assert events(tmp_path)[0]["device"] == {"name": "here", "count": 1, "watts": 3.0, "cores": 4, "nodes": 1}


@pytest.mark.parametrize(
    ("error", "event", "message"),
    [
        (ValueError("broken\nat length"), "failure", "broken"),
        (TrainingError("not finite"), "failure", "not finite"),
        (KeyboardInterrupt(), "stop", "Ctrl-C"),
        (StoppedError(15, "Stopped."), "stop", "Stopped."),
        (OSError(2, "No such file", "a\udcff"), "failure", "[Errno 2] No such file: 'a\\udcff'"),
    ],
)
def test_however_it_ends_is_written_and_the_error_goes_on(tmp_path: Path, error: BaseException, event: str, message: str) -> None:
    with pytest.raises(type(error)), attempt(tmp_path, "shards", plan=CPU):
        raise error
    start, last = events(tmp_path)
    assert (last["event"], last["error"], last["message"]) == (event, type(error).__name__, message)
    assert last["energy"]["cpu_s"] >= 0 and last["attempt"] == start["attempt"] == 1
    assert not any(thread.name == "beats" for thread in threading.enumerate())


def test_attempts_are_numbered_by_stage_and_killed_ones_settled_first(tmp_path: Path) -> None:
    Ledger(tmp_path).append("start", stage="plan", attempt=1, process={"pid": 1, "host": "x", "holds_run": True})
    for stage in ("plan", "shards", "plan"):
        with attempt(tmp_path, stage, plan=CPU, holds_run=True):
            pass
    found = [(one.stage, one.number, one.outcome) for one in read_attempts(tmp_path)]
    assert found == [("plan", 1, "killed"), ("plan", 2, "end"), ("shards", 1, "end"), ("plan", 3, "end")]


def test_attempts_of_one_name_that_begin_at_once_get_numbers_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Ledger(tmp_path).append("start", stage="plan", attempt=1)
    true, meet = module.settle, threading.Barrier(3)

    def together(run: Path, *, holds_run: bool) -> Any:
        """Look at what there was before, all of them, and only then begin."""
        found = true(run, holds_run=holds_run)
        meet.wait(60)
        return found

    monkeypatch.setattr(module, "settle", together)

    def work() -> None:
        with attempt(tmp_path, "evaluate --suite x", plan=CPU):
            meet.wait(60)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [one for one in read_attempts(tmp_path) if one.stage != "plan"]
    assert [(one.number, one.outcome) for one in found] == [(1, "end"), (2, "end"), (3, "end")]


def test_the_documentation_names_the_attempts_beside_the_stages_as_they_are_written() -> None:
    root = Path(__file__).parents[2]
    written = {
        re.sub(r"\{.*\}", "NAME", name)
        for file in (root / "src").rglob("*.py")
        for name in re.findall(r'\battempt\((?:work\.)?run, f?"([^"]+)"', file.read_text())
    }
    sentence = (root / "docs" / "ledger.md").read_text().partition("its stage named as the command: ")[2].partition(". Nothing")[0]
    told = sentence.replace("for `verify --replay N`", "")
    assert len(written) == 6 and set(re.findall(r"`([^`]+)`", told)) == written


def test_a_processor_counts_by_machine_and_gpus_by_process(tmp_path: Path) -> None:
    for plan in (CPU, GPUS):
        with attempt(tmp_path, "pretrain", plan=plan, processes=Processes(16, 8)):
            pass
    starts = [event["device"] for event in events(tmp_path) if event["event"] == "start"]
    assert [(one["count"], one["cores"], one["nodes"], one["watts"]) for one in starts] == [(2, 2, 2, 8.0), (16, None, 2, 296.0)]


def test_beats_tell_time_and_energy_while_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = module.beating

    def often(tell: Callable[[], object]) -> Any:
        return true(tell, first_s=(), every_s=0.02)

    monkeypatch.setattr(module, "beating", often)
    with attempt(tmp_path, "pretrain", plan=CPU):
        while sum(event["event"] == "alive" for event in read_ledger(tmp_path / "ledger.jsonl")) < 3:
            pass
    beats = [event for event in events(tmp_path) if event["event"] == "alive"]
    assert [one["attempt"] for one in beats] == [1] * len(beats)
    for before, after in pairwise(beats):
        assert before["seconds"] < after["seconds"] and before["energy"]["cpu_s"] <= after["energy"]["cpu_s"]


def test_skipped_steps_are_told_once_for_each_build(tmp_path: Path) -> None:
    def run(steps: list[int], *, continues: bool, fails: bool = False) -> None:
        with attempt(tmp_path, "pretrain", plan=CPU, continues=continues) as work:
            work.skipped = lambda: steps
            if fails:
                raise TrainingError("too many")

    with pytest.raises(TrainingError):
        run([3, 4], continues=False, fails=True)
    run([3, 4, 9], continues=True)
    run([3, 4, 9], continues=True)
    run([3], continues=False)
    told = [(event["attempt"], event["steps"]) for event in events(tmp_path) if event["event"] == "steps_skipped"]
    assert told == [(1, [3, 4]), (2, [9]), (4, [3])]
    assert [one.skipped for one in read_attempts(tmp_path)] == [(3, 4), (9,), (), (3,)]


def test_a_full_disk_at_the_end_does_not_hide_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(ValueError, match="the cause"), attempt(tmp_path, "plan", plan=CPU):
        patched.setattr(os, "write", full)
        raise ValueError("the cause")
    with monkeypatch.context() as patched, pytest.raises(DiskFullError), attempt(tmp_path, "plan", plan=CPU):
        patched.setattr(os, "write", full)
    assert [event["event"] for event in events(tmp_path)] == ["start", "start"]


def test_nothing_is_written_into_a_released_folder(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_text("{}")
    with attempt(tmp_path, "verify --exports") as work:
        assert work.energy() == {}
        work.made(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["release.json"]


KILLED = """
import os, sys, time
from pathlib import Path
from pellucid.recipe.after import PlanConfig
from pellucid.stages import attempt as module
true = module.beating
module.beating = lambda tell: true(tell, first_s=(), every_s=0.05)
with module.attempt(Path(sys.argv[1]), "pretrain", plan=PlanConfig()):
    time.sleep(60)
"""


def test_of_a_process_that_is_killed_the_last_sign_of_life_counts(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    for number in (1, 2):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
        while process.poll() is None and not (
            ledger.is_file() and ledger.read_bytes().count(b'"attempt":%d,"seconds"' % number) >= 3
        ):
            time.sleep(0.01)
        process.kill()
        process.wait()
    with attempt(tmp_path, "pretrain", plan=CPU):
        pass
    found = read_attempts(tmp_path)
    assert [(one.number, one.outcome) for one in found] == [(1, "killed"), (2, "killed"), (3, "end")]
    last = {event["attempt"]: event for event in events(tmp_path) if event["event"] == "alive"}
    assert [one.seconds for one in found[:2]] == [last[number]["seconds"] for number in (1, 2)] and found[0].seconds > 0
    assert [one.joules for one in found[:2]] == [last[number]["energy"]["joules"] for number in (1, 2)]
    total = spending_of(found, Rates(1.0)).total
    assert total.attempts == 3 and total.hours * 3600 == pytest.approx(sum(one.seconds for one in found))
