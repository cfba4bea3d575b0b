"""The recipe itself."""

from collections.abc import Callable

import pytest

from pellucid.recipe.load import LoadedRecipe

Load = Callable[..., LoadedRecipe]


def test_a_stage_weighs_sources_as_they_are_where_it_says_nothing(load: Load) -> None:
    recipe = load("train.0.weights={wiki: 9}").recipe
    assert recipe.weights_of(recipe.train[0]) == {"wiki": 9, "code-python": 1}
    assert recipe.shares_of(recipe.train[0]) == pytest.approx({"wiki": 0.9, "code-python": 0.1})
