"""Ledger → `account/account.json`: what the run has cost so far, all attempts together. The report is made from it."""

from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from pellucid.core.artifacts import Build, Key
from pellucid.core.files import json_bytes, write_json
from pellucid.core.ledger import LEDGER, read_ledger
from pellucid.core.spending import Rates, account_of
from pellucid.core.units import format_duration
from pellucid.plan.cost import rates_of
from pellucid.recipe.after import PlanConfig
from pellucid.stages.machine import device_of
from pellucid.stages.run_folder import open_recipe
from pellucid.stages.stage import Context, Stage

__all__ = ["ACCOUNT", "read_account", "spending_rates"]


def spending_rates(config: PlanConfig, run: Path | None = None) -> Rates:
    """Return what a recipe multiplies hours and kWh with: its own figures, else those of its device (see `device_of`)."""
    rates = rates_of(config, device_of(config, run))
    return Rates(rates.price_per_hour, rates.pue, rates.grid_kg_co2e_per_kwh, config.devices)


def read_account(run: Path) -> dict[str, Any]:
    """Return a run's account as it is now (see `account_of`); raise `ArtifactError` when the ledger does not hold."""
    return account_of(read_ledger(run / LEDGER), spending_rates(open_recipe(run).plan, run))


def _account(context: Context) -> dict[str, Any]:
    # A damaged ledger is for `pellucid verify` to find, and keeps nobody from a report.
    ledger = context.run / LEDGER
    events = read_ledger(ledger, checked=False) if ledger.is_file() else ()
    return account_of(events, spending_rates(context.recipe.plan, context.run), checked=False)


def _key(context: Context) -> Key:
    """The account itself: lines of the ledger that do not change it, such as those of a report, make no new one."""
    rates = asdict(spending_rates(context.recipe.plan, context.run))
    return Key("account", 1, 0, {"rates": rates}, {"ledger": sha256(json_bytes(_account(context))).hexdigest()})


def _build(context: Context, build: Build) -> str:
    found = _account(context)
    write_json(build.path / "account.json", found)
    total = found["total"]
    build.summary.update(attempts=total["attempts"], hours=round(total["hours"], 6), kwh=round(total["kwh"], 9))
    return f"{total['attempts']} attempts, {format_duration(total['hours'] * 3600)}"


ACCOUNT = Stage("account", "account", _key, _build)
