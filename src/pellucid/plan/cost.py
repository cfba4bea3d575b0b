"""Hours → money, energy and carbon, each between bounds."""

from dataclasses import dataclass
from typing import Literal

from pellucid.plan.devices import Device, Range
from pellucid.recipe.after import PlanConfig

__all__ = ["CASES", "Rates", "carbon_kg", "device_hours", "energy_kwh", "rates_of", "times"]

CASES: tuple[Literal["low", "likely", "high"], ...] = ("low", "likely", "high")


@dataclass(frozen=True)
class Rates:
    """What one device costs and draws in this plan: the recipe's figures where it gives them, else the table's."""

    price: Range
    power: Range
    pue: float
    grid_kg_co2e_per_kwh: float

    @property
    def price_per_hour(self) -> float:
        """The likely price, US dollars."""
        return self.price.likely

    @property
    def power_w(self) -> float:
        """The likely power, watts."""
        return self.power.likely


def rates_of(config: PlanConfig, device: Device) -> Rates:
    """Return the rates a recipe plans with; a price that the recipe gives is certain."""
    given = config.price_per_device_hour
    price = device.price_per_hour if given is None else Range(low=given, likely=given, high=given)
    return Rates(price, device.power_w, config.pue, config.grid_kg_co2e_per_kwh)


def times(first: Range, second: Range, factor: float = 1.0) -> dict[str, float]:
    """Return the product of two ranges by case: bounds that go together."""
    return {case: getattr(first, case) * getattr(second, case) * factor for case in CASES}


def device_hours(flops: float, achieved_flops: float) -> float:
    """Return the hours that one device needs for `flops` at `achieved_flops` per second."""
    return flops / achieved_flops / 3600


def energy_kwh(hours: float, power_w: float, pue: float) -> float:
    """Return kWh: device-hours · power · PUE (Touvron et al. 2023, arXiv 2302.13971, section 6)."""
    return hours * power_w * pue / 1000


def carbon_kg(kwh: float, grid_kg_co2e_per_kwh: float) -> float:
    """Return kilograms of CO2 equivalent for an amount of energy."""
    return kwh * grid_kg_co2e_per_kwh
