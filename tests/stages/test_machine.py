from pathlib import Path

import pytest

from pellucid.core.files import write_json
from pellucid.plan.devices import device_named
from pellucid.recipe.load import load_recipe
from pellucid.recipe.recipe import Recipe
from pellucid.stages.machine import MACHINE, machine_here


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml").recipe


def on(recipe: Recipe, device: str) -> Recipe:
    return recipe.model_copy(update={"plan": recipe.plan.model_copy(update={"device": device})})


def test_a_row_of_the_table_is_not_measured(recipe: Recipe) -> None:
    assert machine_here(on(recipe, "H100")) is None


def test_a_runs_own_machine_is_what_its_plan_was_made_with(recipe: Recipe, tmp_path: Path) -> None:
    kept = device_named("cpu-2-core").model_copy(update={"title": "a machine of last week"})
    write_json(tmp_path / "plan" / MACHINE, kept.model_dump(mode="json"))
    assert machine_here(on(recipe, "here"), tmp_path) == kept


def test_without_a_run_this_machine_is_measured(recipe: Recipe, tmp_path: Path) -> None:
    found = machine_here(on(recipe, "here"), tmp_path)
    assert found is not None and "this machine" in found.title
    assert found == machine_here(on(recipe, "here")), "measured once in a process"
