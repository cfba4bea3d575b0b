"""Recipe → `plan/plan.json`: the forecast, made before anything is spent."""

from pathlib import Path

from rich.console import RenderableType

from pellucid.core.artifacts import Build, Key
from pellucid.core.errors import ArtifactError, RecipeError
from pellucid.core.files import json_bytes, write_json
from pellucid.core.units import format_count
from pellucid.optim.schedules import learning_rate
from pellucid.plan.mixing import mix_stages
from pellucid.plan.plan import make_plan
from pellucid.plan.render import render_plan
from pellucid.recipe.recipe import Recipe
from pellucid.stages.machine import MACHINE, machine_here
from pellucid.stages.run_folder import shard_tokens
from pellucid.stages.stage import Context, Stage

__all__ = ["PLAN", "plan_json", "plan_text"]

# Points of the drawn schedule: more than a terminal has columns.
_DRAWN_POINTS = 200


def plan_json(recipe: Recipe, run: Path | None = None, *, machine: Path | None = None) -> str:
    """Return the plan as JSON text; its keys are kept stable. Sources are as large as the shards of `run`, if it has any.

    For `plan.device: here` the plan of the run `machine` says what that is, if it has one; else this machine is measured.
    """
    return json_bytes(make_plan(recipe, _counted(recipe, run), machine_here(recipe, machine))).decode()


def plan_text(recipe: Recipe, run: Path | None = None, *, machine: Path | None = None) -> RenderableType:
    """Return the plan for the terminal, each stage's learning rate drawn; see `plan_json`."""
    plan = make_plan(recipe, _counted(recipe, run), machine_here(recipe, machine))
    schedules = {}
    for stage, row in zip(recipe.train, plan["stages"], strict=True):
        if row["length_basis"] == "one_step":
            continue
        last = row["steps"]
        schedule = stage.schedule if stage.learns_from_text else stage.lasting(last).schedule
        steps = [max(1, round(n * last / _DRAWN_POINTS)) for n in range(_DRAWN_POINTS + 1)]
        schedules[stage.name] = [learning_rate(schedule, step, last) for step in steps]
    return render_plan(plan, schedules)


def _counted(recipe: Recipe, run: Path | None) -> dict[str, int] | None:
    """Return what finished shards hold; None where the run has none of these sources."""
    try:
        return shard_tokens(recipe, run) if run is not None else None
    except ArtifactError:
        return None


def _key(context: Context) -> Key:
    return Key("plan", 3, context.recipe.seed, {**context.recipe.model_dump(mode="json"), **_sizes_left_open(context)})


def _sizes_left_open(context: Context) -> dict[str, dict[str, int]]:
    """Return the shards' sizes where the recipe cannot be planned without; a plan that can is the same before and after shards."""
    try:
        mix_stages(context.recipe)
        return {}
    except RecipeError:
        counted = _counted(context.recipe, context.run)
        return {} if counted is None else {"available_tokens": counted}


def _build(context: Context, build: Build) -> str:
    here = machine_here(context.recipe)
    if here is not None:
        write_json(build.path / MACHINE, here.model_dump(mode="json"))
    plan = make_plan(context.recipe, _sizes_left_open(context).get("available_tokens"), here)
    write_json(build.path / "plan.json", plan)
    tokens = plan["tokens"]["total"] + plan["tokens"]["examples"]
    return f"{format_count(plan['parameters']['total'])} parameters, {format_count(tokens)} tokens"


PLAN = Stage("plan", "plan", _key, _build)
