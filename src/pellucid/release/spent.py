"""Time, energy and carbon of a run for its cards: the sums over all attempts of its ledger, with how they are known."""

from dataclasses import dataclass

from pellucid.core.attempts import read_attempts
from pellucid.core.spending import Amount, Rates, spending_of
from pellucid.core.units import format_duration
from pellucid.release.account import Account

__all__ = ["Spent", "spent_on"]


@dataclass(frozen=True)
class Spent:
    """What a run took. `kwh` (with the data centre's share) and `kg_co2e` are None when the ledger knows of no energy."""

    hours: float
    kwh: float | None
    kg_co2e: float | None
    how: str
    lines: list[str]


def spent_on(account: Account) -> Spent:
    """Return the sums of a run, failed and stopped attempts included; raise `ArtifactError` for a ledger that does not hold."""
    plan = account.recipe.plan
    price = plan.price_per_device_hour
    rates = Rates(
        price if price is not None else float(account.plan.get("cost", {}).get("usd_per_device_hour", 0.0)),
        plan.pue,
        plan.grid_kg_co2e_per_kwh,
        plan.devices,
    )
    spending = spending_of(read_attempts(account.run), rates)
    total = spending.total
    lost = spending.without_end
    lines = [f"{total.attempts} attempts at its stages took {format_duration(total.hours * 3600)}, summed over `ledger.jsonl`."]
    if lost.attempts:
        lines.append(
            f"{lost.attempts} of them came to no end (stopped, failed or killed) and took {format_duration(lost.hours * 3600)}."
        )
    how = _how(total)
    known = total.kwh > 0
    if known:
        lines.append(
            f"Energy: {total.kwh_with_pue:.3g} kWh ({how}; {total.kwh:.3g} kWh of the machines times a PUE of {plan.pue}). "
            f"Carbon: {total.kg_co2e:.3g} kg CO2e at {plan.grid_kg_co2e_per_kwh} kg a kWh."
        )
    if total.unknown_hours:
        lines.append(f"Of {format_duration(total.unknown_hours * 3600)} the energy is not known, and not in the sum.")
    return Spent(total.hours, total.kwh_with_pue if known else None, total.kg_co2e if known else None, how, lines)


def _how(total: Amount) -> str:
    if total.kwh_measured and total.kwh_estimated:
        return f"{total.kwh_measured:.3g} kWh measured, {total.kwh_estimated:.3g} kWh estimated"
    return "measured" if total.kwh_measured else "estimated" if total.kwh_estimated else "not known"
