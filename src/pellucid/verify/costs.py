"""Check: what the run's account says that it has cost is what the attempts in the ledger add up to, at the recipe's rates."""

from dataclasses import asdict
from typing import Any

import orjson

from pellucid.core.artifacts import MANIFEST
from pellucid.core.attempts import Attempt, attempts_of
from pellucid.core.environment import code_version, source_of
from pellucid.core.spending import ACCOUNT, OF_THE_REPORT, Rates, account_of
from pellucid.core.units import format_duration
from pellucid.plan.cost import rates_of
from pellucid.plan.devices import HERE, Device, device_named, device_names, read_devices
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded

__all__ = ["check_costs"]

_MACHINE = "plan/machine.json"
_AGAIN = "give `pellucid run RECIPE` again"


def check_costs(evidence: Evidence) -> Findings:
    """Add up the attempts again, as far as the ledger reached when the account was made; compare the rates with the recipe's."""
    proves = (
        "hours, energy, carbon and money of the account are those of all attempts before it, failed ones too, at the recipe's rates"
    )
    findings = Findings("account", proves, "attempts")
    if evidence.has(ACCOUNT) and "account" in evidence.artifacts and evidence.ledger_fault is None:
        findings.checked.append(ACCOUNT)
        guarded(findings, evidence.run / ACCOUNT, lambda: _check_sums(evidence, findings))
        guarded(findings, evidence.run / ACCOUNT, lambda: _check_all_are_in(evidence, findings))
        guarded(findings, evidence.run / "account" / MANIFEST, lambda: _check_rates(evidence, findings))
    return findings


def _check_sums(evidence: Evidence, findings: Findings) -> None:
    told = evidence.tree.json(ACCOUNT)
    rates = Rates(**evidence.artifacts["account"].config["rates"])
    # Only the lines that were there: what came after may tell more of an attempt that the account had as it then was.
    events = evidence.events[: told["ledger"]["lines"]]
    made: dict[str, Any] = orjson.loads(orjson.dumps(account_of(events, rates)))
    findings.looked = len(made["attempts"])
    for name in made:
        if told.get(name) != made[name]:
            findings.fault(
                evidence.run / ACCOUNT, f"{name}: the ledger gives {made[name]!r:.80}; got {told.get(name)!r:.80}", _AGAIN
            )


def _check_all_are_in(evidence: Evidence, findings: Findings) -> None:
    """No attempt that was over when the account was begun is left out of it; later ones are told of."""
    lines = evidence.tree.json(ACCOUNT)["ledger"]["lines"]
    attempts = attempts_of(evidence.events)
    begun = max((one.line for one in attempts if one.stage == "account" and one.outcome == "end"), default=0)
    over = [one for one in attempts if one.stage not in OF_THE_REPORT and one.outcome != "running" and one.last_line > lines]
    missing, later = [one for one in over if one.last_line < begun], [one for one in over if one.last_line > begun]
    if missing:
        what = f"ends at line {lines} of the ledger, and leaves out what was over when it was begun, at line {begun}"
        findings.fault(evidence.run / ACCOUNT, f"{what}: {_sum(missing)}, {missing[0].stage} first", _AGAIN)
    if later:
        findings.note(f"{ACCOUNT} does not hold what came after it: {_sum(later)}; `pellucid run RECIPE` makes it anew")


def _sum(attempts: list[Attempt]) -> str:
    count = f"{len(attempts)} attempt" + ("s" if len(attempts) > 1 else "")
    return f"{count} ({format_duration(sum(one.seconds for one in attempts))})"


def _check_rates(evidence: Evidence, findings: Findings) -> None:
    """Compare each rate with the recipe's figure, or that of its device; another version's table may have another price."""
    if evidence.recipe is None:
        return
    config, manifest = evidence.recipe.plan, evidence.artifacts["account"]
    device = _device(evidence, config.device)
    wanted = {"pue": config.pue, "grid_kg_co2e_per_kwh": config.grid_kg_co2e_per_kwh, "devices": float(config.devices)}
    by_table = config.price_per_device_hour is None
    if config.price_per_device_hour is not None:
        wanted["usd_per_device_hour"] = config.price_per_device_hour
    elif device is not None:
        wanted["usd_per_device_hour"] = rates_of(config, device).price_per_hour
    else:
        findings.note(f"the price of {config.device} is not known here, so that of {ACCOUNT} was not compared")
    told = asdict(Rates(**manifest.config["rates"]))
    for name, value in wanted.items():
        if told[name] == value:
            continue
        what = f"config.rates.{name}: recipe and device have {value:g}; got {told[name]!r:.40}"
        made, ours = source_of(manifest.code_version), source_of(code_version())
        if name == "usd_per_device_hour" and by_table and config.device != HERE and made != ours:
            findings.note(f"account/{MANIFEST} {what}; it was made by {made}, whose table of devices may be another")
        else:
            findings.fault(evidence.run / "account" / MANIFEST, what, _AGAIN)


def _device(evidence: Evidence, name: str) -> Device | None:
    """Return the recipe's device; for `here` what the run's plan was made with. None where this version cannot tell."""
    if name == HERE:
        try:
            return read_devices(evidence.tree.json(_MACHINE)) if evidence.has(_MACHINE) else None
        except ValueError:  # another version's row: that the file is as it was made, its digest says
            return None
    return device_named(name) if name in device_names() else None
