from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pellucid.core.ledger import Ledger
from pellucid.verify.evidence import Evidence
from pellucid.verify.forecast import check_plan


def test_the_plan_is_made_again_only_when_asked(finished_run: Path) -> None:
    assert check_plan(Evidence(finished_run)).looked == 0
    findings = check_plan(Evidence(finished_run, deep=True))
    assert findings.faults == [] and findings.looked > 100


def test_a_plan_that_says_otherwise_is_named_with_the_place(run_copy: Path, rewrite: Callable[..., None]) -> None:
    def cheaper(told: dict[str, Any]) -> None:
        told["parameters"]["total"] -= 1
        told["stages"][0]["tokens"] = None

    rewrite(run_copy / "plan" / "plan.json", cheaper)
    findings = check_plan(Evidence(run_copy, deep=True))
    file = run_copy / "plan" / "plan.json"
    assert [line.split(":")[0] for line in findings.faults] == [f"{file} parameters.total", f"{file} stages[0].tokens"]


def test_another_version_may_forecast_otherwise(run_copy: Path, rewrite: Callable[..., None]) -> None:
    rewrite(run_copy / "plan" / "plan.json", lambda told: told["parameters"].update(total=1))
    evidence = Evidence(run_copy, deep=True)
    evidence.artifacts["plan"] = replace(evidence.artifacts["plan"], code_version="0.0.1+src.0123456789ab")
    findings = check_plan(evidence)
    assert findings.faults == []
    assert findings.notes[0].startswith("plan/plan.json was made by 0.0.1+src.0123456789ab, and this is ")
    assert "1 of" in findings.notes[0] and "parameters.total first" in findings.notes[0]


def test_a_plan_that_was_made_after_the_training_is_told_and_no_fault(run_copy: Path) -> None:
    assert not any("the plan was made" in note for note in check_plan(Evidence(run_copy)).notes)
    ledger = Ledger(run_copy)
    told = {"stage": "plan", "attempt": 2}
    ledger.append("start", **told)
    ledger.append(
        "end", **told, seconds=0.1, summary={}, folder="plan", manifest=Evidence(run_copy).tree.digest("plan/manifest.json")
    )
    findings = check_plan(Evidence(run_copy))
    assert findings.faults == []
    names = ", ".join(stage.name for stage in Evidence(run_copy).training)
    assert findings.notes[0].startswith(f"the plan was made after training had begun: {names}. What it says of that is no forecast")
    ledger.append("start", stage="pretrain", attempt=2, continues=False)
    ledger.append("end", stage="pretrain", attempt=2, seconds=0.1, summary={}, folder="pretrain")
    late, again = check_plan(Evidence(run_copy)).notes[:2]
    assert "pretrain" not in late and again.startswith("the plan was made before the training that lies here, but after an earlier")
    assert ": pretrain." in again
