import shutil
from pathlib import Path

import pytest

from pellucid.core.files import read_json, write_json
from pellucid.core.ledger import LEDGER, Ledger, read_ledger
from pellucid.core.spending import ACCOUNT, Rates, account_of
from pellucid.core.units import format_duration
from pellucid.release.account import Account
from pellucid.release.spent import spent_on


def renewed(run: Path) -> None:
    """Make the run's account anew from its ledger, at the rates that it has."""
    rates = Rates(**read_json(run / ACCOUNT)["rates"])
    write_json(run / ACCOUNT, account_of(read_ledger(run / LEDGER), rates))


def test_every_figure_is_the_accounts(account: Account) -> None:
    told, spent = read_json(account.run / ACCOUNT), spent_on(account)
    total = told["total"]
    assert spent.hours == {name: amount["hours"] for name, amount in told["by_stage"].items()} and "pretrain" in spent.hours
    assert (spent.kwh, spent.kg_co2e) == (total["kwh_with_pue"], total["kg_co2e"])
    assert spent.lines[0].startswith(f"{total['attempts']} attempts took {format_duration(total['hours'] * 3600)}: ")
    assert f"in the first {told['ledger']['lines']} lines of `ledger.jsonl`" in spent.lines[-1]


def test_lines_that_the_account_does_not_know_yet_change_nothing_and_those_of_the_report_never(
    run_copy: Path, account: Account
) -> None:
    copy = Account(run_copy, account.recipe, [], account.selection)
    before, ledger = spent_on(copy), Ledger(run_copy)
    for stage in ("plan", "report"):
        ledger.append("start", stage=stage, attempt=7, inputs={}, device={"count": 1})
        energy = {"joules": 3.6e6 * 30_000, "kind": "measured", "counters": ["x"], "missing": {}, "cpu_s": 1.0}
        ledger.append("failure", stage=stage, attempt=7, seconds=7200.0, message="x", energy=energy)
    assert spent_on(copy) == before
    renewed(run_copy)
    spent = spent_on(copy)
    assert spent.kwh is not None and spent.kg_co2e is not None and before.kwh is not None and before.kg_co2e is not None
    assert spent.kwh - before.kwh == pytest.approx(30_000 * 1.1)
    assert spent.kg_co2e - before.kg_co2e == pytest.approx(30_000 * 1.1 * 0.385)
    assert spent.lines[1] == "1 of them came to no end (stopped, failed or killed): 2 h 00 min."
    assert "measured" in spent.how and "0.385 kg CO2e per kWh" in spent.how
    assert "(measured" in spent.lines[2] and "times a PUE of 1.10" in spent.lines[2]


def test_energy_that_nobody_wrote_down_is_not_stated(run_copy: Path, account: Account) -> None:
    told = read_json(run_copy / ACCOUNT)
    told["total"] |= {"kwh_with_pue": 0.0, "kg_co2e": 0.0, "unknown_hours": told["total"]["hours"]}
    write_json(run_copy / ACCOUNT, told)
    spent = spent_on(Account(run_copy, account.recipe, [], account.selection))
    assert spent.kwh is None and spent.kg_co2e is None
    assert "Nobody wrote down what energy it took." in spent.lines and not any("CO2e" in line for line in spent.lines)


def test_a_run_without_an_account_has_no_figures_and_says_how_to_get_them(run_copy: Path, account: Account) -> None:
    shutil.rmtree(run_copy / "account")
    spent = spent_on(Account(run_copy, account.recipe, [], account.selection))
    assert (spent.hours, spent.kwh, spent.kg_co2e) == ({}, None, None)
    (line,) = spent.lines
    assert "has no account of its attempts yet; pellucid report RECIPE makes one" in line
