import json
from pathlib import Path

from pellucid.recipe.load import load_recipe
from pellucid.stages.plan import plan_json


def test_the_plan_on_disk_is_the_plan_that_json_prints(finished_run: Path) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml").recipe
    stored = json.loads((finished_run / "plan" / "plan.json").read_text())
    assert stored == json.loads(plan_json(recipe))
    assert stored["tokens"]["total"] == 30_720
