"""Rules about what is measured over training."""

from collections.abc import Iterator

from pellucid.recipe.curves import FROM_HELDOUT
from pellucid.recipe.problems import Finding, Loc
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

__all__ = ["stage_curves"]


def stage_curves(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """Steps lie within the stage, tasks are named once, and those made of held-out documents have some."""
    curves = stage.curves
    if curves is None:
        return
    loc = (*loc, "curves")
    if outside := [step for step in curves.at_steps if not 0 <= step <= stage.total_steps] if stage.learns_from_text else []:
        yield Finding(
            (*loc, "at_steps"),
            f"got {outside[0]}; the stage has the steps 0 to {stage.total_steps}",
            "leave it out, or train for longer",
        )
    if twice := [name for name in curves.tasks if curves.tasks.count(name) > 1]:
        yield Finding((*loc, "tasks"), f"got {twice[0]!r} twice", "name each task once")
    made = [name for name in curves.tasks if name in FROM_HELDOUT]
    if made and not recipe.sources:
        yield Finding((*loc, "tasks"), f"got {made[0]!r}, made of held-out documents; there are no sources of text", "give a file")
    elif made and recipe.documents.heldout_frac == 0:
        yield Finding(
            (*loc, "tasks"), f"got {made[0]!r}, and documents.heldout_frac is 0", "hold documents out, or give a file of items"
        )
