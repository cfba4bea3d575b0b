"""The section about all sources at once."""

import pytest
from pydantic import ValidationError

from pellucid.recipe.mixture import MixtureConfig


def test_nothing_is_weighed_by_size_or_capped_unless_asked() -> None:
    assert MixtureConfig() == MixtureConfig(temperature=None, max_epochs=None)


@pytest.mark.parametrize("key", ["temperature", "max_epochs"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_temperature_and_a_cap_are_positive_and_finite(key: str, value: float) -> None:
    with pytest.raises(ValidationError):
        MixtureConfig(**{key: value})
