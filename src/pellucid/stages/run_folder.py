"""What a run folder knows about itself: its resolved recipe, its shards, its newest weights. For commands that are given a run."""

from pathlib import Path

from pellucid.checkpoint.retention import latest_good
from pellucid.core.artifacts import MANIFEST, read_manifest
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.files import is_inside
from pellucid.recipe.load import LoadedRecipe
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.resolved import RECIPE_FILE, open_recipe, resolved_text
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.orders import data_order, shard_tokens

__all__ = [
    "RECIPE_FILE",
    "data_order",
    "dump_recipe",
    "final_checkpoint",
    "newest_checkpoint",
    "open_recipe",
    "shard_tokens",
    "training_stage",
    "weights_at",
]


def dump_recipe(loaded: LoadedRecipe) -> str:
    """Return the resolved recipe as YAML: every value written out, presets and defaults filled in."""
    return resolved_text(loaded.recipe.model_dump(mode="json"))


def training_stage(recipe: Recipe, name: str | None) -> TrainStageConfig:
    """Return the training stage of this name (the first when None); raise `UsageError` naming those there are."""
    for stage in recipe.train:
        if name is None or stage.name == name:
            return stage
    raise UsageError(f"the run has no training stage {name!r}; it has {', '.join(stage.name for stage in recipe.train)}")


def final_checkpoint(run: Path, stage: TrainStageConfig) -> Path:
    """Return the checkpoint of a finished training stage; raise `ArtifactError` when the stage has not finished."""
    manifest = run / stage.name / MANIFEST
    # The manifest says which step was the last: of a stage that reads examples the recipe does not.
    named = str(read_manifest(manifest.parent).summary.get("checkpoint", "")) if manifest.is_file() else None
    if named is not None and not is_inside(named):
        raise ArtifactError(f"{manifest}: summary.checkpoint: got {named!r}; must be a folder inside {manifest.parent}")
    path = run / stage.name / named if named is not None else None
    if path is None or not (path / MANIFEST).is_file():
        raise ArtifactError(f"the training stage {stage.name!r} of {run} has not finished; it is made by: pellucid train RECIPE")
    return path


def newest_checkpoint(run: Path, recipe: Recipe) -> Path:
    """Return the newest good checkpoint of the last training stage that has one, finished or not."""
    for stage in reversed(recipe.train):
        found = latest_good(run / stage.name / "checkpoints")
        if found is not None:
            return found
    raise ArtifactError(f"{run} has no checkpoint yet; it is made by: pellucid train RECIPE")


def weights_at(path: Path) -> Path:
    """Return where the weights of a path lie: a run's or a training stage's final checkpoint, else the path itself.

    Raises `ArtifactError` when the run or the stage has not finished.
    """
    if (path / RECIPE_FILE).is_file():
        return final_checkpoint(path, open_recipe(path).train[-1])
    recipe = path.parent / RECIPE_FILE
    if recipe.is_file() and (path / "checkpoints").is_dir():
        return final_checkpoint(path.parent, training_stage(open_recipe(path.parent), path.name))
    return path
