"""The recipe itself."""

from collections.abc import Callable

from pellucid.recipe.load import LoadedRecipe

Load = Callable[..., LoadedRecipe]


def test_a_stage_weighs_sources_as_they_are_where_it_says_nothing(load: Load) -> None:
    recipe = load("train.0.weights={wiki: 9}").recipe
    assert recipe.weights_of(recipe.train[0]) == {"wiki": 9, "code-python": 1}


def test_with_a_temperature_a_weight_is_a_factor_and_without_one_it_has_to_be_given(load: Load) -> None:
    recipe = load("mixture.temperature=2", "sources.wiki.weight=null").recipe
    assert recipe.weights_of(recipe.train[0]) == {"wiki": 1, "code-python": 1}
    assert recipe.temperature_of(recipe.train[0]) == 2
    cooler = load("mixture.temperature=2", "train.0.temperature=5").recipe
    assert cooler.temperature_of(cooler.train[0]) == 5


def test_sources_that_are_read_by_epochs_have_no_weight_but_in_stages_that_give_them_one(load: Load) -> None:
    by_epochs = ("sources.wiki.weight=null", "sources.wiki.epochs=2")
    recipe = load(*by_epochs).recipe
    stage = recipe.train[0]
    assert recipe.weights_of(stage) == {"code-python": 1}
    assert recipe.spread_epochs(stage) == {"wiki": 2}
    weighted, other = (load(*by_epochs, f"train.0.{key}={{wiki: 5}}").recipe for key in ("weights", "epochs"))
    assert weighted.weights_of(weighted.train[0]) == {"wiki": 5, "code-python": 1}
    assert other.weights_of(other.train[0]) == {"code-python": 1}
    assert weighted.spread_epochs(weighted.train[0]) == other.spread_epochs(other.train[0]) == {}
