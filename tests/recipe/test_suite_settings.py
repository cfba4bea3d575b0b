import pytest

from pellucid.core.errors import RecipeError
from pellucid.recipe.suite_settings import load_suite_settings


def test_overrides_are_laid_over_the_defaults_in_order() -> None:
    settings = load_suite_settings(["needle.depths=5", "needle.lengths=[200, 400]", "needle.depths=7"])
    assert settings.needle.depths == 7
    assert settings.needle.lengths == (200, 400)
    assert settings.mt_bench == load_suite_settings([]).mt_bench


def test_what_the_call_gives_comes_before_overrides() -> None:
    settings = load_suite_settings(["judge.model=big"], {"judge.url": "http://localhost:1/v1?a=b"})
    assert settings.judge is not None
    assert (settings.judge.url, settings.judge.model) == ("http://localhost:1/v1?a=b", "big")
    assert settings.endpoint is None


def test_all_problems_are_told_at_once_with_the_nearest_fix() -> None:
    with pytest.raises(RecipeError) as caught:
        load_suite_settings(["needle.depth=5", "needle.seeds=0", "code"])
    text = str(caught.value)
    assert "needle.depth" in text and "did you mean depths?" in text
    assert "needle.seeds" in text and "1 or more" in text
    assert "has no key=value" in text
