import pytest
from pydantic import ValidationError

from pellucid.recipe.curves import CurvesConfig


def test_the_usual_is_what_needs_no_data() -> None:
    assert CurvesConfig().tasks == ("continuation", "perplexity")


@pytest.mark.parametrize("change", [{"items": 1}, {"tasks": ()}, {"every_steps": -1}, {"min_gain": -0.1}, {"every": 3}])
def test_what_cannot_be_measured_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CurvesConfig(**change)  # type: ignore[arg-type]
