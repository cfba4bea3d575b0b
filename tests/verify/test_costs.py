from collections.abc import Callable
from pathlib import Path
from typing import Any

from pellucid.core.ledger import Ledger
from pellucid.verify.costs import check_costs
from pellucid.verify.evidence import Evidence


def test_the_account_is_what_the_ledger_adds_up_to_also_when_it_has_grown(run_copy: Path) -> None:
    findings = check_costs(Evidence(run_copy))
    assert findings.faults == [] and findings.looked >= 10 and findings.checked == ["account/account.json"]
    ledger = Ledger(run_copy)
    ledger.append("start", stage="verify", attempt=1)
    ledger.append("end", stage="verify", attempt=1, seconds=9.0, summary={}, energy={"joules": 9.0, "kind": "estimated"})
    assert check_costs(Evidence(run_copy)).faults == []


def test_an_account_that_forgets_an_attempt_is_named(run_copy: Path, rewrite: Callable[..., None]) -> None:
    def forget(told: dict[str, Any]) -> None:
        told["attempts"].pop()

    rewrite(run_copy / "account" / "account.json", forget)
    (fault,) = check_costs(Evidence(run_copy)).faults
    assert fault.startswith(f"{run_copy / 'account' / 'account.json'} attempts: the ledger gives")


def test_an_account_that_is_none_is_a_fault(run_copy: Path) -> None:
    (run_copy / "account" / "account.json").write_text("[]")
    assert any("account.json does not hold" in line for line in check_costs(Evidence(run_copy)).faults)
