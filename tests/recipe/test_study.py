import pytest
from pydantic import ValidationError

from pellucid.recipe.study import StudyConfig


def test_a_study_needs_a_name_and_a_base_and_has_three_seeds() -> None:
    study = StudyConfig.model_validate({"kind": "study", "name": "s", "base": "pocket.yaml"})
    assert study.seeds == (1, 2, 3)
    assert study.design.kind == "grid"
    with pytest.raises(ValidationError, match="base"):
        StudyConfig.model_validate({"kind": "study", "name": "s"})


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        StudyConfig.model_validate({"kind": "study", "name": "s", "base": "b", "axis": {}})
