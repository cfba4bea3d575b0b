"""Sections for what follows training."""

import pytest
from pydantic import ValidationError

from pellucid.recipe.after import ExportConfig, PlanConfig


def test_a_plan_takes_the_reports_factors_by_default() -> None:
    assert (PlanConfig().pue, PlanConfig().grid_kg_co2e_per_kwh) == (1.1, 0.385)


def test_an_export_format_is_a_known_one() -> None:
    with pytest.raises(ValidationError):
        ExportConfig.model_validate({"formats": ["onnx"]})
