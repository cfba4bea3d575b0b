from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.artifacts import read_manifest
from pellucid.core.environment import code_version
from pellucid.core.files import write_json
from pellucid.core.ledger import Ledger, read_ledger
from pellucid.core.spending import Rates, account_of
from pellucid.recipe.after import PlanConfig
from pellucid.verify.costs import check_costs
from pellucid.verify.evidence import Evidence


def test_the_account_is_what_the_ledger_adds_up_to_also_when_it_has_grown(run_copy: Path) -> None:
    findings = check_costs(Evidence(run_copy))
    assert findings.faults == [] and findings.looked >= 10 and findings.checked == ["account/account.json"]
    ledger = Ledger(run_copy)
    ledger.append("start", stage="verify", attempt=1)
    ledger.append("end", stage="verify", attempt=1, seconds=9.0, summary={}, energy={"joules": 9.0, "kind": "estimated"})
    findings = check_costs(Evidence(run_copy))
    assert findings.faults == []
    (note,) = findings.notes
    assert note.startswith("account/account.json does not hold what came after it: 1 attempt (9.0 s); ")


def test_an_account_that_was_cut_to_fewer_lines_leaves_attempts_out(run_copy: Path) -> None:
    rates = Rates(**read_manifest(run_copy / "account").config["rates"])
    shorter = account_of(list(read_ledger(run_copy / "ledger.jsonl"))[:10], rates)
    write_json(run_copy / "account" / "account.json", shorter)
    (fault,) = check_costs(Evidence(run_copy)).faults
    assert fault.startswith(f"{run_copy / 'account' / 'account.json'} ends at line 10 of the ledger, and leaves out ")
    assert " attempts (" in fault and ", pretrain first" in fault


def test_rates_other_than_those_of_the_recipe_are_named(run_copy: Path) -> None:
    evidence = Evidence(run_copy)
    assert check_costs(evidence).faults == []
    rates = evidence.artifacts["account"].config["rates"]
    rates["pue"], rates["usd_per_device_hour"] = 1.0, rates["usd_per_device_hour"] / 2
    found = [line for line in check_costs(evidence).faults if "config.rates." in line]
    assert [line.split(":")[0].split(" ")[1] for line in found] == ["config.rates.pue", "config.rates.usd_per_device_hour"]
    assert "have 1.1; got 1.0; give" in found[0]


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        # Of another version the table may have another price: only the recipe's own figures bind it.
        ({"device": "L4"}, "whose table of devices may be another"),
        ({"device": "GPU-of-tomorrow"}, "the price of GPU-of-tomorrow is not known here"),
        ({"device": "GPU-of-tomorrow", "price_per_device_hour": 3.0}, None),
    ],
)
def test_a_price_that_this_version_cannot_know_is_a_note(run_copy: Path, plan: dict[str, Any], told: str | None) -> None:
    evidence = Evidence(run_copy)
    recipe, account = evidence.recipe, evidence.artifacts["account"]
    assert recipe is not None
    config = PlanConfig(**{**recipe.plan.model_dump(), **plan})
    evidence.__dict__["_resolved"] = (recipe.model_copy(update={"plan": config}), evidence.values)
    evidence.artifacts["account"] = replace(account, code_version="0.0.1+src.0123456789ab")
    findings = check_costs(evidence)
    if told is None:
        assert "config.rates.usd_per_device_hour: recipe and device have 3; got" in findings.faults[0]
    else:
        assert findings.faults == [] and told in findings.notes[0]
    evidence.artifacts["account"] = replace(account, code_version=code_version())
    assert bool(check_costs(evidence).faults) is (told != "the price of GPU-of-tomorrow is not known here")


def test_an_account_that_forgets_an_attempt_is_named(run_copy: Path, rewrite: Callable[..., None]) -> None:
    def forget(told: dict[str, Any]) -> None:
        told["attempts"].pop()

    rewrite(run_copy / "account" / "account.json", forget)
    (fault,) = check_costs(Evidence(run_copy)).faults
    assert fault.startswith(f"{run_copy / 'account' / 'account.json'} attempts: the ledger gives")


def test_an_account_that_is_none_is_a_fault(run_copy: Path) -> None:
    (run_copy / "account" / "account.json").write_text("[]")
    assert any("account.json does not hold" in line for line in check_costs(Evidence(run_copy)).faults)
