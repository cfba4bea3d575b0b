"""Recipe → `plan/plan.json`: the forecast, made before anything is spent."""

from rich.console import RenderableType

from pellucid.core.artifacts import Build, Key
from pellucid.core.files import json_bytes, write_json
from pellucid.core.units import format_count
from pellucid.optim.schedules import learning_rate
from pellucid.plan.plan import make_plan
from pellucid.plan.render import render_plan
from pellucid.recipe.recipe import Recipe
from pellucid.stages.stage import Context, Stage

__all__ = ["PLAN", "plan_json", "plan_text"]

# Points of the drawn schedule: more than a terminal has columns.
_DRAWN_POINTS = 200


def plan_json(recipe: Recipe) -> str:
    """Return the plan as JSON text; its keys are kept stable."""
    return json_bytes(make_plan(recipe)).decode()


def plan_text(recipe: Recipe) -> RenderableType:
    """Return the plan for the terminal, each stage's learning rate drawn."""
    schedules = {}
    for stage in recipe.train:
        last = stage.total_steps
        steps = [max(1, round(n * last / _DRAWN_POINTS)) for n in range(_DRAWN_POINTS + 1)]
        schedules[stage.name] = [learning_rate(stage.schedule, step, last) for step in steps]
    return render_plan(make_plan(recipe), schedules)


def _key(context: Context) -> Key:
    return Key("plan", 1, context.recipe.seed, context.recipe.model_dump(mode="json"))


def _build(context: Context, build: Build) -> str:
    plan = make_plan(context.recipe)
    write_json(build.path / "plan.json", plan)
    return f"{format_count(plan['parameters']['total'])} parameters, {format_count(plan['tokens']['total'])} tokens"


PLAN = Stage("plan", "plan", _key, _build)
