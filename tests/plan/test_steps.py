"""The forecast of one step as the plan holds it."""

import pytest

from pellucid.plan.devices import device_named
from pellucid.plan.roofline import Layout
from pellucid.plan.steps import step_row
from pellucid.recipe.recipe import Recipe

A100, LAYOUT = device_named("A100-40GB"), Layout(512, bf16=True)


def test_speeds_follow_from_seconds(stable_lm: Recipe) -> None:
    row = step_row(stable_lm.model, stable_lm.train[0], A100, LAYOUT)
    for case, seconds in row["s"].items():
        assert row["tokens_per_s"][case] == pytest.approx(8_388_608 / seconds)
        assert row["mfu_with_attention"][case] == pytest.approx(row["flops_per_device_s"][case] / 312e12)
    assert row["given_by"] == "roofline"


def test_a_measured_share_moves_a_bound_only_where_it_lies_outside(stable_lm: Recipe) -> None:
    plain = step_row(stable_lm.model, stable_lm.train[0], A100, LAYOUT)["s"]
    usual = step_row(stable_lm.model, stable_lm.train[0], A100, LAYOUT, 0.5)["s"]
    assert (usual["low"], usual["high"]) == (plain["low"], plain["high"]) and usual["likely"] > plain["likely"]
    slow = step_row(stable_lm.model, stable_lm.train[0], A100, LAYOUT, 0.1)["s"]
    assert slow["likely"] == slow["high"] > plain["high"]
