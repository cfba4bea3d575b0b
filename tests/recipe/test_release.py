from pathlib import Path

import pytest

from pellucid.core.errors import RecipeError
from pellucid.recipe.load import load_recipe
from pellucid.recipe.release import ReleaseConfig
from pellucid.recipe.section import Section

SMOKE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"


def test_what_is_not_given_stays_open_rather_than_being_made_up() -> None:
    empty = ReleaseConfig()
    assert {empty.licence, empty.text_licence, empty.author, empty.url, empty.paper, empty.intended_use} == {None}
    assert (empty.limits, empty.redistribute) == ((), ())
    assert isinstance(empty, Section) and len(ReleaseConfig.model_fields) <= 12


def test_a_recipe_may_name_licence_and_author_and_nothing_unknown() -> None:
    loaded = load_recipe(SMOKE, ["release.licence=MIT", "release.author=Ada Lovelace"])
    assert (loaded.recipe.release.licence, loaded.recipe.release.author) == ("MIT", "Ada Lovelace")
    with pytest.raises(RecipeError, match="did you mean licence"):
        load_recipe(SMOKE, ["release.license=MIT"])
