"""What a run folder knows about itself: its resolved recipe, its shards, its newest weights. For commands that are given a run."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from pellucid.batches.open import open_order
from pellucid.batches.order import DataOrder
from pellucid.checkpoint.retention import latest_good
from pellucid.core.artifacts import MANIFEST, read_manifest
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.files import is_inside
from pellucid.core.seeds import derive_seed
from pellucid.plan.mixing import mix_of
from pellucid.recipe.load import LoadedRecipe
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.recipe.tree import MAX_VALUES
from pellucid.shards.index import ShardIndex
from pellucid.shards.stream import TokenStream

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

RECIPE_FILE = "recipe.resolved.yaml"


def dump_recipe(loaded: LoadedRecipe) -> str:
    """Return the resolved recipe as YAML: every value written out, presets and defaults filled in."""
    values = loaded.recipe.model_dump(mode="json")
    return f"# {loaded.recipe.name}, resolved; digest {loaded.digest}\n" + yaml.safe_dump(
        values, sort_keys=False, allow_unicode=True
    )


def open_recipe(run: Path) -> Recipe:
    """Return the recipe that a run was made with; raise `UsageError` when the folder is no run, `ArtifactError` otherwise."""
    path = run / RECIPE_FILE
    if not path.is_file():
        raise UsageError(f"{run} is not a run (it has no {RECIPE_FILE}); give the folder of a run, for example runs/pocket")
    try:
        values = yaml.safe_load(path.read_text())
        if _values_in(values, MAX_VALUES) > MAX_VALUES:
            raise ArtifactError(f"{path} has more than {MAX_VALUES} values; it is no recipe, or its aliases multiply")
        return Recipe.model_validate(values)
    except (yaml.YAMLError, ValidationError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not the resolved recipe of a run: {_first_line(error)}") from error


def _values_in(values: object, most: int) -> int:
    """Count the values of a document, those that aliases repeat again each time; what is above `most` is not counted on."""
    count, left = 0, [values]
    while left and count <= most:
        count += 1
        value = left.pop()
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return count


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).split()) or type(error).__name__


def training_stage(recipe: Recipe, name: str | None) -> TrainStageConfig:
    """Return the training stage of this name (the first when None); raise `UsageError` naming those there are."""
    for stage in recipe.train:
        if name is None or stage.name == name:
            return stage
    raise UsageError(f"the run has no training stage {name!r}; it has {', '.join(stage.name for stage in recipe.train)}")


def data_order(recipe: Recipe, stage: TrainStageConfig, run: Path) -> DataOrder:
    """Open the run's shards in the order in which this stage reads them; raise `ArtifactError` when there are none."""
    streams = {source.name: TokenStream(_shards(run) / source.name / "train") for source in recipe.sources}
    weights = mix_of(recipe, stage, {name: stream.tokens for name, stream in streams.items()}).weights
    # A seed of its own for each stage: a second stage does not replay the windows of the first.
    return open_order(streams, weights, stage, derive_seed(recipe.seed, "order", stage.name))


def shard_tokens(recipe: Recipe, run: Path) -> dict[str, int]:
    """Return how many tokens the run's shards have to train on, by source; raise `ArtifactError` when there are none."""
    return {source.name: ShardIndex.read(_shards(run) / source.name / "train").tokens for source in recipe.sources}


def _shards(run: Path) -> Path:
    shards = run / "shards"
    if not (shards / "manifest.json").is_file():
        raise ArtifactError(f"{shards} is not there or not finished; it is made by: pellucid shards RECIPE")
    return shards


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
