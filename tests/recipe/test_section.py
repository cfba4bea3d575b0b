"""What all sections share."""

import pytest
from pydantic import ValidationError

from pellucid.recipe.training import SamplesConfig


def test_a_section_is_frozen_and_knows_its_keys() -> None:
    section = SamplesConfig()
    with pytest.raises(ValidationError):
        section.every_steps = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        SamplesConfig.model_validate({"every_step": 3})
