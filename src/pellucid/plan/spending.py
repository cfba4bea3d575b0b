"""Time, money, energy and carbon of a whole plan, from the steps of its stages."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.plan.cost import CASES, Rates, carbon_kg, energy_kwh, times
from pellucid.plan.devices import Range

__all__ = ["spending", "stage_spending"]


def stage_spending(row: Mapping[str, Any], rates: Rates, devices: int) -> dict[str, Any]:
    """Return one stage's `wall_s`, `usd` and `kwh` between bounds."""
    wall = Range(**{case: row["step"]["s"][case] * row["steps"] for case in CASES})
    hours = {case: getattr(wall, case) * devices / 3600 for case in CASES}
    kwh = {case: energy_kwh(hours[case], getattr(rates.power, case), rates.pue) for case in CASES}
    return {"wall_s": wall.model_dump(), "usd": times(wall, rates.price, devices / 3600), "kwh": kwh}


def spending(stages: Sequence[Mapping[str, Any]], flops: Mapping[str, float], rates: Rates, devices: int) -> dict[str, Any]:
    """Return `time`, `cost` and `energy` of all stages, each between bounds.

    Ranges are keyed low, likely, high; bounds of hours, price and power are taken together, so the ends are further out than they
    are likely to be. `device_hours`, `wall_s`, `usd`, `kwh` and `kg_co2e` are the likely ones again. Keys with `six_n` say what the
    tokens would take at the same FLOP/s if 6·N was all that they needed: the way many reports count.
    """
    each = [stage_spending(row, rates, devices)["wall_s"] for row in stages]
    wall = Range(**{case: sum(one[case] for one in each) for case in CASES})
    hours = Range(**{case: getattr(wall, case) * devices / 3600 for case in CASES})
    six_n = flops["six_n"] / flops["with_attention"]
    usd = times(hours, rates.price)
    kwh = {case: energy_kwh(getattr(hours, case), getattr(rates.power, case), rates.pue) for case in CASES}
    kg = {case: carbon_kg(value, rates.grid_kg_co2e_per_kwh) for case, value in kwh.items()}
    return {
        "time": {
            "achieved_flops_per_device_s": flops["with_attention"] / (hours.likely * 3600),
            "device_hours": hours.likely,
            "device_hours_range": hours.model_dump(),
            "device_hours_six_n": hours.likely * six_n,
            "wall_s": wall.likely,
            "wall_s_range": wall.model_dump(),
            "wall_s_six_n": wall.likely * six_n,
        },
        "cost": {
            "usd": usd["likely"],
            "usd_range": usd,
            "usd_six_n": usd["likely"] * six_n,
            "usd_per_device_hour": rates.price.likely,
            "usd_per_device_hour_range": rates.price.model_dump(),
        },
        "energy": {
            "kwh": kwh["likely"],
            "kwh_range": kwh,
            "kwh_six_n": kwh["likely"] * six_n,
            "kg_co2e": kg["likely"],
            "kg_co2e_range": kg,
            "kg_co2e_six_n": kg["likely"] * six_n,
            "power_w": rates.power.likely,
            "power_w_range": rates.power.model_dump(),
            "pue": rates.pue,
            "grid_kg_co2e_per_kwh": rates.grid_kg_co2e_per_kwh,
            "basis": "estimated: what such a device draws while it trains; host and network only through the PUE",
        },
    }
