"""What a run has cost: hours, device-hours, kWh, kilograms of CO2 equivalent and money, over all attempts however they ended."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pellucid.core.attempts import Attempt, attempts_of, build_of

__all__ = ["ACCOUNT", "JOULES_PER_KWH", "OF_THE_REPORT", "Amount", "Rates", "Spending", "account_of", "how_known", "spending_of"]

ACCOUNT = "account/account.json"
"""A run's account: what its report and its cards have their figures from."""

OF_THE_REPORT = ("account", "report")
"""The stages that tell of all others, and are not in the account."""

JOULES_PER_KWH = 3.6e6
_EVALUATIONS = ("evaluate", "benchmarks")
_SHOWN = (
    "stage", "number", "line", "last_line", "began_at", "ended_at", "outcome", "continues", "seconds", "joules", "measured",
    "cpu_s", "devices", "message",
)  # fmt: skip


@dataclass(frozen=True)
class Rates:
    """What is multiplied with: US dollars for an hour of one device, the data centre's PUE, the grid's kg CO2e for a kWh.

    `devices`: of attempts from before they were written down.
    """

    usd_per_device_hour: float
    pue: float = 1.1
    grid_kg_co2e_per_kwh: float = 0.385
    devices: int = 1


@dataclass(frozen=True)
class Amount:
    """Sums over some attempts.

    `kwh` is what the machines took, counted (`kwh_measured`) and estimated (`kwh_estimated`) together; `kwh_with_pue` what their
    data centre took for it; `kg_co2e` is of the latter. `unknown_hours` are those of attempts whose energy nobody wrote down: they
    are in the hours and in the money, and not in the energy.
    """

    attempts: int
    hours: float
    device_hours: float
    usd: float
    kwh_measured: float
    kwh_estimated: float
    kwh: float
    kwh_with_pue: float
    kg_co2e: float
    unknown_hours: float


@dataclass(frozen=True)
class Spending:
    """Sums over all attempts, by stage and by outcome, each in order of appearance; `without_end` of those that came to none."""

    rates: Rates
    total: Amount
    by_stage: dict[str, Amount]
    by_outcome: dict[str, Amount]
    without_end: Amount

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def spending_of(attempts: Iterable[Attempt], rates: Rates) -> Spending:
    """Return what attempts have cost together.

    kWh = joules / 3.6e6, with PUE = kWh · PUE, kg CO2e = kWh · PUE · grid factor (Touvron et al. 2023, arXiv 2302.13971, section 6,
    with measured or estimated joules in place of GPU-hours · watts).
    """
    every = list(attempts)
    return Spending(
        rates,
        _sum(every, rates),
        _by(every, rates, lambda one: one.stage),
        _by(every, rates, lambda one: one.outcome),
        _sum([one for one in every if one.outcome != "end"], rates),
    )


def _by(attempts: Sequence[Attempt], rates: Rates, name: Callable[[Attempt], str]) -> dict[str, Amount]:
    names = dict.fromkeys(name(one) for one in attempts)
    return {each: _sum([one for one in attempts if name(one) == each], rates) for each in names}


def _sum(attempts: Sequence[Attempt], rates: Rates) -> Amount:
    device_hours = sum(one.seconds * (one.devices or rates.devices) for one in attempts) / 3600
    measured = sum(one.joules or 0.0 for one in attempts if one.measured) / JOULES_PER_KWH
    estimated = sum(one.joules or 0.0 for one in attempts if not one.measured) / JOULES_PER_KWH
    kwh = measured + estimated
    return Amount(
        len(attempts),
        sum(one.seconds for one in attempts) / 3600,
        device_hours,
        device_hours * rates.usd_per_device_hour,
        measured,
        estimated,
        kwh,
        kwh * rates.pue,
        kwh * rates.pue * rates.grid_kg_co2e_per_kwh,
        sum(one.seconds for one in attempts if one.joules is None) / 3600,
    )


def account_of(events: Iterable[Mapping[str, Any]], rates: Rates, *, checked: bool = True) -> dict[str, Any]:
    """Return the account of a run from its ledger's events: what `ACCOUNT` holds, as JSON values.

    In it are all attempts that are over, but those at the account and the report themselves, which would change what they tell of;
    `ledger.lines` is the last line that any of them has, or by which one that was taken for killed turned out to be under way. The
    lines up to it give the same account: a ledger only grows, so an account can be made again at any time.

    `builds` are the sums of what each stage's artifact took: of the attempts from its `first` on that `build_of` gives. Accounts of
    schema 1 have none.

    Raises `ArtifactError` as `attempts_of` does, where that is `checked`.
    """
    told = [one for one in attempts_of(events, checked=checked) if one.stage not in OF_THE_REPORT]
    over = [one for one in told if one.outcome != "running"]
    last = max([0, *(one.last_line for one in over), *(one.revived for one in told)])
    ends = Counter(one.outcome for one in over)
    builds = {name: build_of(over, name) for name in dict.fromkeys(one.stage for one in over)}
    return {
        "schema_version": 2,
        "ledger": {"lines": last},
        "counts": {
            "attempts": len(over),
            "ends": ends["end"],
            "stops": ends["stop"],
            "failures": ends["failure"],
            "kills": ends["killed"],
            "resumes": sum(one.continues for one in over),
            "evaluations": sum(one.stage in _EVALUATIONS or one.stage.startswith("evaluate ") for one in over),
            "skipped_steps": len({(one.stage, step) for one in over for step in one.skipped}),
        },
        **spending_of(over, rates).as_json(),
        "builds": {name: {"first": build[0].number, **asdict(_sum(build, rates))} for name, build in builds.items()},
        "attempts": [_row(one, rates) for one in over],
    }


def how_known(amount: Mapping[str, Any]) -> str | None:
    """Return how the energy of one of an account's amounts is known; None where nobody wrote any of it down."""
    if amount["unknown_hours"] >= amount["hours"]:
        return None
    if not amount["kwh_measured"]:
        return "estimated"
    return "measured" if not amount["kwh_estimated"] else "measured in part"


def _row(one: Attempt, rates: Rates) -> dict[str, Any]:
    """One attempt with its place: `line` and `last_line` counted from 1."""
    row = {name: getattr(one, name) for name in _SHOWN} | {"skipped_steps": len(one.skipped)}
    amount = _sum([one], rates)
    return row | {"device_hours": amount.device_hours, "usd": amount.usd, "kwh": amount.kwh, "kg_co2e": amount.kg_co2e}
