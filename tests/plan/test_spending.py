"""Time, money and energy of all stages."""

import pytest

from pellucid.plan.cost import rates_of
from pellucid.plan.devices import device_named
from pellucid.plan.spending import spending, stage_spending
from pellucid.recipe.after import PlanConfig


def test_hours_price_power_and_grid_are_multiplied_case_by_case() -> None:
    device = device_named("A100-40GB")
    rates = rates_of(PlanConfig(device="A100-40GB", pue=1.2, grid_kg_co2e_per_kwh=0.5), device)
    stages = [{"step": {"s": {"low": 1.0, "likely": 2.0, "high": 3.0}}, "steps": 3600}] * 2
    found = spending(stages, {"six_n": 3.0, "with_attention": 4.0}, rates, 8)
    assert found["time"]["wall_s_range"] == {"low": 7200, "likely": 14_400, "high": 21_600}
    assert found["time"]["device_hours_range"] == {"low": 16, "likely": 32, "high": 48}
    assert found["time"]["device_hours_six_n"] == 24
    assert found["cost"]["usd_range"]["likely"] == 32 * 3.5 == found["cost"]["usd"]
    assert found["energy"]["kwh_range"]["high"] == pytest.approx(48 * 0.4 * 1.2)
    assert found["energy"]["kg_co2e"] == pytest.approx(32 * 0.296 * 1.2 * 0.5)


def test_the_parts_of_stages_add_up_to_the_whole() -> None:
    rates = rates_of(PlanConfig(device="H100"), device_named("H100"))
    stages = [{"step": {"s": {"low": 1.0, "likely": 1.5, "high": 3.0}}, "steps": 200 * n} for n in (1, 2)]
    whole = spending(stages, {"six_n": 1.0, "with_attention": 1.0}, rates, 4)
    parts = [stage_spending(row, rates, 4) for row in stages]
    assert sum(part["usd"]["likely"] for part in parts) == pytest.approx(whole["cost"]["usd"])
    assert sum(part["kwh"]["high"] for part in parts) == pytest.approx(whole["energy"]["kwh_range"]["high"])
    assert sum(part["wall_s"]["low"] for part in parts) == pytest.approx(whole["time"]["wall_s_range"]["low"])
