"""FLOPs → hours → money, energy and carbon."""

from dataclasses import dataclass

from pellucid.plan.devices import Device
from pellucid.recipe.after import PlanConfig

__all__ = ["Rates", "carbon_kg", "device_hours", "energy_kwh", "rates_of"]


@dataclass(frozen=True)
class Rates:
    """What one device does and costs in this plan: the recipe's figures where it gives them, else the table's."""

    achieved_flops: float
    price_per_hour: float
    power_w: float
    pue: float
    grid_kg_co2e_per_kwh: float


def rates_of(config: PlanConfig, device: Device) -> Rates:
    """Return the rates a recipe plans with."""
    frac = device.typical_frac if config.achieved_flops_frac is None else config.achieved_flops_frac
    price = device.price_per_hour if config.price_per_device_hour is None else config.price_per_device_hour
    return Rates(device.peak_flops * frac, price, device.power_w, config.pue, config.grid_kg_co2e_per_kwh)


def device_hours(flops: float, achieved_flops: float) -> float:
    """Return the hours that one device needs for `flops` at `achieved_flops` per second."""
    return flops / achieved_flops / 3600


def energy_kwh(hours: float, power_w: float, pue: float) -> float:
    """Return kWh: device-hours · power · PUE (Touvron et al. 2023, arXiv 2302.13971, section 6)."""
    return hours * power_w * pue / 1000


def carbon_kg(kwh: float, grid_kg_co2e_per_kwh: float) -> float:
    """Return kilograms of CO2 equivalent for an amount of energy."""
    return kwh * grid_kg_co2e_per_kwh
