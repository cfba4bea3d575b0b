"""Time, energy, carbon and money of a run for its cards, as its account has them: the report shows the same figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pellucid.core.ledger import LEDGER
from pellucid.core.spending import ACCOUNT, how_known
from pellucid.core.units import format_carbon, format_duration, format_energy, format_few
from pellucid.release.account import Account
from pellucid.report.spending import NO_ACCOUNT

__all__ = ["Spent", "spent_on"]


@dataclass(frozen=True)
class Spent:
    """What a run took, in `lines` for its card.

    `hours` are those of each stage, all attempts at it together. `kwh` (with the data centre's share) and `kg_co2e` are None when
    the account knows of no energy, or there is none; `how` says how they are known and counted.
    """

    lines: list[str]
    hours: dict[str, float] = field(default_factory=dict)
    kwh: float | None = None
    kg_co2e: float | None = None
    how: str = ""


def spent_on(account: Account) -> Spent:
    """Return what the run's `account/account.json` says; where there is none, only that and how to get one."""
    told = account.read(ACCOUNT)
    if told is None:
        return Spent([f"{NO_ACCOUNT} Released again then, the run's hours, energy, carbon and cost stand here."])
    total, lost, how = told["total"], told["without_end"], how_known(told["total"])
    price, pue, grid = (format_few(told["rates"][name]) for name in ("usd_per_device_hour", "pue", "grid_kg_co2e_per_kwh"))
    devices, usd = format_few(total["device_hours"]), format_few(total["usd"])
    tries = f"{total['attempts']} attempt{'s' * (total['attempts'] != 1)}"
    lines = [f"{tries} took {_time(total['hours'])}: {devices} device-hours at US$ {price} each, US$ {usd} in all."]
    if lost["attempts"]:
        lines.append(f"{lost['attempts']} of them came to no end (stopped, failed or killed): {_time(lost['hours'])}.")
    if how is None:
        lines.append("Nobody wrote down what energy it took.")
    else:
        lines.append(
            f"Energy: {format_energy(total['kwh_with_pue'])} ({how}; {_of_the_machines(total)} times a PUE of {pue}). "
            f"Carbon: {format_carbon(total['kg_co2e'])} CO2e at {grid} kg a kWh."
        )
        if total["unknown_hours"]:
            lines.append(f"Of {_time(total['unknown_hours'])} the energy is not known, and not in the sum.")
    lines.append(
        f"These are the figures of `{ACCOUNT}`, and the report's: all attempts in the first {told['ledger']['lines']} lines of "
        f"`{LEDGER}` but those at the account and the report themselves."
    )
    hours = {name: amount["hours"] for name, amount in told["by_stage"].items()}
    if how is None:
        return Spent(lines, hours)
    return Spent(lines, hours, total["kwh_with_pue"], total["kg_co2e"], f"{how}; {grid} kg CO2e per kWh")


def _of_the_machines(total: Mapping[str, Any]) -> str:
    kinds = [f"{format_energy(total[f'kwh_{kind}'])} {kind}" for kind in ("measured", "estimated") if total[f"kwh_{kind}"]]
    told = f", {' and '.join(kinds)}," if len(kinds) > 1 else ""
    return f"{format_energy(total['kwh'])} of the machines{told}"


def _time(hours: float) -> str:
    return format_duration(hours * 3600)
