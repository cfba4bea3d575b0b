import pytest
from pydantic import ValidationError

from pellucid.recipe.template import TemplateConfig, TemplateFieldConfig


def test_a_template_needs_a_task_fields_and_phrasings() -> None:
    config = TemplateConfig(task="t", fields={"a": None}, phrasings=("{a}",))
    assert config.languages == {}
    assert TemplateFieldConfig().path is None
    for wrong in ({"task": ""}, {"fields": {}}, {"phrasings": ()}, {"extra": 1}):
        with pytest.raises(ValidationError):
            TemplateConfig.model_validate({"task": "t", "fields": {"a": None}, "phrasings": ("{a}",), **wrong})
