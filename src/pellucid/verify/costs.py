"""Check: what the run's account says that it has cost is what the attempts in the ledger add up to."""

from typing import Any

import orjson

from pellucid.core.spending import ACCOUNT, Rates, account_of
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded

__all__ = ["check_costs"]

_AGAIN = "give `pellucid run RECIPE` again"


def check_costs(evidence: Evidence) -> Findings:
    """Add up the attempts again, as far as the ledger reached when the account was made."""
    proves = "hours, energy, carbon and money of the account are those of all attempts in the ledger, failed ones too"
    findings = Findings("account", proves, "attempts")
    if evidence.has(ACCOUNT) and "account" in evidence.artifacts and evidence.ledger_fault is None:
        findings.checked.append(ACCOUNT)
        guarded(findings, evidence.run / ACCOUNT, lambda: _check(evidence, findings))
    return findings


def _check(evidence: Evidence, findings: Findings) -> None:
    told = evidence.tree.json(ACCOUNT)
    rates = Rates(**evidence.artifacts["account"].config["rates"])
    made: dict[str, Any] = orjson.loads(orjson.dumps(account_of(evidence.events, rates, told["ledger"]["lines"])))
    findings.looked = len(made["attempts"])
    for name in made:
        if told.get(name) != made[name]:
            findings.fault(
                evidence.run / ACCOUNT, f"{name}: the ledger gives {made[name]!r:.80}; got {told.get(name)!r:.80}", _AGAIN
            )
