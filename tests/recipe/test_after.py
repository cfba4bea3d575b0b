"""Sections for what follows training."""

import pytest
from pydantic import ValidationError

from pellucid.recipe.after import ExportConfig, PlanConfig


def test_a_plan_takes_the_reports_factors_by_default() -> None:
    assert (PlanConfig().pue, PlanConfig().grid_kg_co2e_per_kwh) == (1.1, 0.385)


def test_an_export_format_is_a_known_one() -> None:
    with pytest.raises(ValidationError):
        ExportConfig.model_validate({"formats": ["onnx"]})


def test_the_types_of_a_format_are_a_list_of_known_ones_that_is_not_empty() -> None:
    config = ExportConfig.model_validate({"formats": ["gguf"], "gguf_types": ["Q4_K_M", "F32"], "certificate": {"questions": 0}})
    assert config.gguf_types == ("Q4_K_M", "F32") and config.certificate.tokens == 1024
    for key, values in (("gguf_types", []), ("gguf_types", ["Q3_K"]), ("mlx_types", ["fp32"]), ("certificate", {"tokens": 1})):
        with pytest.raises(ValidationError):
            ExportConfig.model_validate({key: values})
