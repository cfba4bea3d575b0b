"""`pellucid show RUN`: a run's account: every attempt at its stages, and what all of them have cost."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from pellucid.cli.output import print_json, print_table, print_text
from pellucid.core.attempts import Attempt, attempts_of
from pellucid.core.ledger import LEDGER, read_ledger
from pellucid.core.spending import JOULES_PER_KWH, account_of, how_known
from pellucid.core.units import format_carbon, format_duration, format_energy, format_few
from pellucid.stages.account import spending_rates
from pellucid.stages.run_folder import open_recipe

__all__ = ["show_account"]

_SUMS = ("attempts", "time", "device-hours", "energy measured", "energy estimated", "CO2e", "US$")
_NONE = "–"
_STYLES = {"failure": "red", "killed": "red", "stop": "yellow", "running": "cyan"}


def show_account(run: Path, *, as_json: bool) -> None:
    """Print the account as it is now, with what is still under way beside it. Raises `ArtifactError` where the ledger fails."""
    events = list(read_ledger(run / LEDGER))
    rates = spending_rates(open_recipe(run).plan, run)
    account, attempts = account_of(events, rates), attempts_of(events)
    if as_json:
        print_json(account)
        return
    columns = ("line", "stage", "attempt", "began", "outcome", "time", "energy", "what")
    print_table(columns, map(_row, attempts), title=f"{run}: attempts", right=(0, 2, 5, 6))
    rows = [(name, *_sums(amount)) for name, amount in account["by_stage"].items()]
    rows += [("all", *_sums(account["total"])), ("of these without an end", *_sums(account["without_end"]))]
    print_table(("\nstage", *(f"\n{name}" for name in _SUMS)), rows, right=range(1, 8))
    print_text(f"\n{', '.join(_counts(account['counts']))}.")
    print_text(
        f"PUE {rates.pue:g}, {rates.grid_kg_co2e_per_kwh:g} kg CO2e a kWh, US$ {rates.usd_per_device_hour:g} a device-hour. "
        "Not in the sums: attempts under way, the account and the report themselves."
    )


def _row(one: Attempt) -> tuple[object, ...]:
    energy = _NONE if one.joules is None else format_energy(one.joules / JOULES_PER_KWH) + ("" if one.measured else " est.")
    outcome = Text(one.outcome, _STYLES.get(one.outcome, ""))
    what = one.message or ("went on" if one.continues else "")
    return one.line, one.stage, one.number, one.began_at, outcome, format_duration(one.seconds), energy, what


def _sums(amount: Mapping[str, Any]) -> tuple[str, ...]:
    energy = [format_energy(amount[name]) if amount[name] else _NONE for name in ("kwh_measured", "kwh_estimated")]
    carbon = _NONE if how_known(amount) is None else format_carbon(amount["kg_co2e"])
    time = format_duration(amount["hours"] * 3600)
    return str(amount["attempts"]), time, format_few(amount["device_hours"]), *energy, carbon, format_few(amount["usd"])


def _counts(counts: Mapping[str, int]) -> Iterator[str]:
    for name, count in counts.items():
        if name in {"attempts", "ends"} or count:
            words = name.replace("_", " ")
            yield f"{count} {words.removesuffix('s') if count == 1 else words}"
