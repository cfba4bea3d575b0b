"""The table of devices, and devices given on the command line."""

import pytest
from pydantic import ValidationError

from pellucid.core.errors import RecipeError, UsageError
from pellucid.plan.devices import Device, Range, device_named, device_names, planned_on, read_devices
from pellucid.recipe.recipe import Recipe


def test_every_figure_of_every_row_says_where_it_is_from() -> None:
    assert {"A100-40GB", "A100-80GB", "H100", "H200", "cpu-2-core"} <= set(device_names())
    figures = set(Device.model_fields) - {"title", "precision", "sources", "devices_per_node"}
    for name in device_names():
        device = device_named(name)
        assert set(device.sources) == {figure for figure in figures if getattr(device, figure) is not None}, name
        assert 1e10 < device.peak_flops < 1e16
        assert device.compute_frac.high <= 1 and device.memory_frac.high <= 1
        assert 0 < device.usable_bytes < device.memory_bytes


def test_what_is_as_in_another_row_is_so_there() -> None:
    followed = 0
    for name in device_names():
        device = device_named(name)
        for figure, source in device.sources.items():
            if source.startswith("as "):
                other = device_named(source.removeprefix("as ").partition(":")[0])
                assert getattr(device, figure) == getattr(other, figure), (name, figure)
                followed += 1
    assert followed > 5


def test_a_row_is_read_again_from_what_a_plan_holds() -> None:
    device = device_named("H100")
    assert read_devices(device.model_dump(mode="json")) == device


def test_a_range_out_of_order_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be in order: low 1, likely 3, high 2"):
        Range(low=1, likely=3, high=2)


def test_an_unknown_device_gets_the_nearest_row() -> None:
    with pytest.raises(RecipeError, match="got 'A100-40'; must be one of") as caught:
        device_named("A100-40", "recipes/x.yaml")
    assert caught.value.problems[0].fix == "did you mean A100-40GB?"
    assert caught.value.path == "recipes/x.yaml"


def test_devices_are_given_by_number_and_name(tinyllama: Recipe) -> None:
    for where, expected in {
        "512xA100-40GB": ("A100-40GB", 512),
        "8 x h100": ("H100", 8),
        "1_024×H200": ("H200", 1024),
        "H100": ("H100", 1),
        "here": ("here", 1),
    }.items():
        plan = planned_on(tinyllama, where).plan
        assert (plan.device, plan.devices) == expected, where


def test_a_price_and_a_share_were_meant_for_the_recipes_own_device(stable_lm: Recipe) -> None:
    assert stable_lm.plan.price_per_device_hour == 3.5
    assert planned_on(stable_lm, "64xA100-40GB").plan.price_per_device_hour == 3.5
    assert planned_on(stable_lm, "64xH100").plan.price_per_device_hour is None


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("8xA100", "there is no device 'A100', only A100-40GB.*did you mean 8xA100-[48]0GB?"),
        ("abacus", "got 'abacus'; there is no device 'abacus', only .*or here"),
        ("0xH100", "the number of devices must be from 1 to 1000000"),
        ("", "write COUNTxDEVICE, for example 8xH100"),
        ("8x", "there is no device '8x'"),
    ],
)
def test_what_is_no_device_is_refused_with_what_is_possible(tinyllama: Recipe, where: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        planned_on(tinyllama, where)
