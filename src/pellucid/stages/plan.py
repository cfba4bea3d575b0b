"""Recipe → `plan/plan.json`: the forecast, made before anything is spent."""

import orjson

from pellucid.core.artifacts import Build, Key
from pellucid.core.files import write_json
from pellucid.core.units import format_count
from pellucid.plan.plan import make_plan
from pellucid.recipe.recipe import Recipe
from pellucid.stages.stage import Context, Stage

__all__ = ["PLAN", "plan_json"]


def plan_json(recipe: Recipe) -> str:
    """Return the plan as JSON text; its keys are kept stable."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(make_plan(recipe), option=options).decode()


def _key(context: Context) -> Key:
    return Key("plan", 1, context.recipe.seed, context.recipe.model_dump(mode="json"))


def _build(context: Context, build: Build) -> str:
    plan = make_plan(context.recipe)
    write_json(build.path / "plan.json", plan)
    return f"{format_count(plan['parameters']['total'])} parameters, {format_count(plan['tokens']['total'])} tokens"


PLAN = Stage("plan", "plan", _key, _build)
