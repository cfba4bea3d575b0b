"""The shipped recipes, loaded once."""

from pathlib import Path

import pytest

from pellucid.recipe.load import load_recipe
from pellucid.recipe.recipe import Recipe

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="session")
def stable_lm() -> Recipe:
    """Stable LM 2 1.6B's recipe."""
    return load_recipe(RECIPES / "stable-lm-2-1.6b.yaml").recipe


@pytest.fixture(scope="session")
def tinyllama() -> Recipe:
    """TinyLlama 1.1B's recipe."""
    return load_recipe(RECIPES / "tinyllama-1.1b.yaml").recipe


@pytest.fixture(scope="session")
def pocket() -> Recipe:
    """The pocket recipe."""
    return load_recipe(RECIPES / "pocket.yaml").recipe


@pytest.fixture(scope="session")
def zephyr() -> Recipe:
    """Stable LM 2 Zephyr's recipe: three stages of examples whose number is printed and whose tokens are not."""
    return load_recipe(RECIPES / "stable-lm-2-zephyr.yaml").recipe


@pytest.fixture(scope="session")
def uncounted(zephyr: Recipe) -> Recipe:
    """The same, of whose conversations nothing is told."""
    nothing = {"available_examples": None, "max_examples": None}
    return zephyr.model_copy(update={"conversations": tuple(one.model_copy(update=nothing) for one in zephyr.conversations)})
