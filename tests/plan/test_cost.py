"""Hours, money, energy, carbon against the report."""

import pytest

from pellucid.plan.cost import carbon_kg, device_hours, energy_kwh, rates_of, times
from pellucid.plan.devices import Range, device_named
from pellucid.plan.flops import flops_per_token
from pellucid.recipe.after import PlanConfig
from pellucid.recipe.recipe import Recipe


def test_two_trillion_tokens_at_170_tflops_take_32400_or_40300_hours(stable_lm: Recipe) -> None:
    flops = flops_per_token(stable_lm.model, 4096)
    tokens = 2_009_831_803_933
    assert device_hours(flops["six_n"] * tokens, 170e12) == pytest.approx(32_400, rel=1e-3)
    assert device_hours(flops["with_attention"] * tokens, 170e12) == pytest.approx(40_300, rel=1e-3)


def test_thirty_megawatt_hours_are_eleven_and_a_half_tonnes() -> None:
    assert carbon_kg(30_000, 0.385) == pytest.approx(11_550)


def test_the_reports_hours_cost_what_it_prints_and_draw_296_watts_on_average() -> None:
    assert 92_000 * device_named("A100-40GB").price_per_hour.likely == pytest.approx(322_000)
    assert energy_kwh(92_000, 296.4, 1.1) == pytest.approx(30_000, rel=2e-3)


def test_the_recipes_price_goes_before_the_tables_and_is_certain() -> None:
    device = device_named("H100")
    assert rates_of(PlanConfig(device="H100"), device).price == device.price_per_hour
    rates = rates_of(PlanConfig(device="H100", price_per_device_hour=0.5), device)
    assert (rates.price.low, rates.price_per_hour, rates.price.high) == (0.5, 0.5, 0.5)
    assert rates.power_w == device.power_w.likely


def test_bounds_are_multiplied_with_their_own() -> None:
    first, second = Range(low=1, likely=2, high=3), Range(low=10, likely=10, high=20)
    assert times(first, second, 2) == {"low": 20, "likely": 40, "high": 120}
