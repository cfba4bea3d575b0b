import json
import shutil
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.errors import RecipeError
from pellucid.recipe.load import load_recipe
from pellucid.stages.plan import plan_json
from pellucid.stages.run_folder import shard_tokens


def test_the_plan_on_disk_is_the_plan_that_json_prints(finished_run: Path) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml").recipe
    stored = json.loads((finished_run / "plan" / "plan.json").read_text())
    assert stored == json.loads(plan_json(recipe, machine=finished_run))
    assert stored["tokens"]["total"] == 30_720


def test_a_plan_counts_the_shards_of_a_run_that_has_them(finished_run: Path, tmp_path: Path) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml").recipe
    rows = json.loads(plan_json(recipe, finished_run))["sources"]
    assert {row["name"]: row["available_tokens"] for row in rows} == shard_tokens(recipe, finished_run)
    assert all(row["epochs"] is not None for row in rows)
    assert plan_json(recipe, tmp_path) == plan_json(recipe)
    # What cannot be worked out without sizes can be once there are shards.
    capped = load_recipe(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml", ["mixture.max_epochs=3"]).recipe
    assert json.loads(plan_json(capped, finished_run))["tokens"]["total"] == 30_720
    with pytest.raises(RecipeError, match=r"max_epochs of .* cannot be worked out"):
        plan_json(capped)


def test_a_plan_on_disk_takes_sizes_from_shards_only_where_the_recipe_leaves_them_open(run_copy: Path) -> None:
    recipe, runs = str(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"), ["--runs", str(run_copy.parent)]
    before = (run_copy / "plan" / "manifest.json").read_bytes()
    assert main(["plan", recipe, *runs]) == 0
    assert (run_copy / "plan" / "manifest.json").read_bytes() == before
    assert main(["plan", recipe, *runs, "--set", "mixture.max_epochs=3"]) == 0
    stored = json.loads((run_copy / "plan" / "plan.json").read_text())
    assert all(row["available_tokens"] for row in stored["sources"])
    shutil.rmtree(run_copy / "shards")
    assert main(["plan", recipe, *runs, "--set", "mixture.max_epochs=2"]) == 2
