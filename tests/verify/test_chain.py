import json
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson

from pellucid.core.ledger import Ledger
from pellucid.verify.chain import check_chain
from pellucid.verify.evidence import Evidence


def faults_of(run: Path) -> list[str]:
    return check_chain(Evidence(run)).faults


def test_every_artifact_is_the_one_that_the_ledger_tells_of(finished_run: Path) -> None:
    findings = check_chain(Evidence(finished_run))
    assert findings.faults == [] and findings.looked == len((finished_run / "ledger.jsonl").read_bytes().splitlines())


def test_a_line_that_was_edited_added_or_taken_out_shows(run_copy: Path) -> None:
    ledger = run_copy / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    for altered in (
        [*lines[:4], lines[4].replace(b"start", b"START").replace(b"end", b"END"), *lines[5:]],
        [*lines[:4], *lines[5:]],
        [*lines[:4], lines[3], *lines[4:]],
        [lines[0][:-1], *lines[1:]],
    ):
        ledger.write_bytes(b"".join(altered))
        assert any(line.startswith(f"{ledger}, line ") for line in faults_of(run_copy))


def test_an_artifact_that_no_event_made_and_an_event_without_its_artifact_are_faults(run_copy: Path) -> None:
    ledger = run_copy / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if orjson.loads(line)["event"] == "start")
    ledger.write_bytes(b"".join(lines[: last + 1]))  # its end never came
    shutil.rmtree(run_copy / "exports")
    findings = check_chain(Evidence(run_copy))
    assert [line.split(";")[0] for line in findings.faults] == [
        f"{ledger} has no event that made report",
        f"{run_copy / 'exports'} is missing",
    ]
    assert "attempts at report: 1 begun and not ended" in findings.notes


def test_a_manifest_that_was_made_anew_is_not_the_one_that_the_stage_ended_with(
    run_copy: Path, reseal: Callable[..., None]
) -> None:
    reseal(run_copy / "scores", summary={"bits_per_byte": 0.5}, inputs={"checkpoint": "0" * 64})
    assert faults_of(run_copy) and all(str(run_copy / "scores" / "manifest.json") in line for line in faults_of(run_copy))


def test_the_digest_of_the_manifest_is_compared_where_the_ledger_has_it(run_copy: Path, reseal: Callable[..., None]) -> None:
    ledger = Ledger(run_copy)
    digest = Evidence(run_copy).tree.digest("plan/manifest.json")
    ledger.append("unchanged", stage="plan", folder="plan", manifest=digest)
    assert faults_of(run_copy) == []
    reseal(run_copy / "plan")
    assert any("is not the one that the ledger's last unchanged names" in line for line in faults_of(run_copy))


def test_attempts_that_came_to_nothing_are_told_and_no_faults(run_copy: Path) -> None:
    ledger = Ledger(run_copy)
    for event in ("start", "failure", "start", "start", "killed"):
        ledger.append(event, stage="chat")
    findings = check_chain(Evidence(run_copy))
    assert findings.faults == [] and "attempts at chat: 1 failed, 2 killed" in findings.notes


def test_a_ledger_of_other_types_is_a_fault_and_no_crash(run_copy: Path) -> None:
    (run_copy / "ledger.jsonl").write_text("[1]\n")
    assert any("ledger.jsonl" in line for line in faults_of(run_copy))
    first = {"event": "end", "previous": "0" * 64, "stage": ["plan"], "folder": 3}
    (run_copy / "ledger.jsonl").write_text(json.dumps(first) + "\n")
    assert any("ledger.jsonl" in line for line in faults_of(run_copy))
    (run_copy / "ledger.jsonl").unlink()
    assert any("ledger.jsonl is missing" in line for line in faults_of(run_copy))
