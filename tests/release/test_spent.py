from pathlib import Path

import pytest

from pellucid.core.attempts import read_attempts
from pellucid.core.ledger import Ledger
from pellucid.release.account import Account
from pellucid.release.spent import spent_on


def test_every_attempt_is_in_the_hours(account: Account) -> None:
    seconds = sum(one.seconds for one in read_attempts(account.run))
    spent = spent_on(account)
    assert spent.hours == pytest.approx(seconds / 3600)
    assert f"{len(read_attempts(account.run))} attempts" in spent.lines[0]


def test_energy_is_told_with_how_it_is_known_and_failures_count(run_copy: Path, account: Account) -> None:
    before = spent_on(Account(run_copy, account.recipe, [], account.selection))
    ledger = Ledger(run_copy)
    ledger.append("start", stage="plan", attempt=7, inputs={}, device={"count": 1})
    energy = {"joules": 3.6e6 * 30_000, "kind": "measured", "counters": ["x"], "missing": {}, "cpu_s": 1.0}
    ledger.append("failure", stage="plan", attempt=7, seconds=7200.0, message="x", energy=energy)
    spent = spent_on(Account(run_copy, account.recipe, [], account.selection))
    assert spent.kwh is not None and spent.kg_co2e is not None
    assert spent.kwh - (before.kwh or 0) == pytest.approx(30_000 * 1.1)
    assert spent.kg_co2e - (before.kg_co2e or 0) == pytest.approx(30_000 * 1.1 * 0.385)
    assert "of them came to no end" in spent.lines[1]
    assert "measured" in spent.how
