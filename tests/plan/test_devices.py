"""The table of devices."""

import pytest

from pellucid.core.errors import RecipeError
from pellucid.plan.devices import device_named, device_names


def test_every_row_is_whole_and_says_where_its_figures_are_from() -> None:
    assert {"A100-40GB", "A100-80GB", "H100", "H200", "cpu-2-core"} <= set(device_names())
    for name in device_names():
        device = device_named(name)
        assert device.sources
        assert 1e10 < device.peak_flops < 1e16


def test_an_unknown_device_gets_the_nearest_row() -> None:
    with pytest.raises(RecipeError, match="got 'A100-40'; must be one of") as caught:
        device_named("A100-40", "recipes/x.yaml")
    assert caught.value.problems[0].fix == "did you mean A100-40GB?"
    assert caught.value.path == "recipes/x.yaml"
