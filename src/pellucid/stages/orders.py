"""A run's token shards in the order in which a training stage reads them. No torch: `pellucid verify` walks them as well."""

from pathlib import Path

from pellucid.batches.open import open_order
from pellucid.batches.order import DataOrder
from pellucid.core.errors import ArtifactError
from pellucid.core.seeds import derive_seed
from pellucid.plan.mixing import mix_of
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.shards.index import ShardIndex
from pellucid.shards.stream import TokenStream

__all__ = ["data_order", "orders_before", "shard_tokens"]


def data_order(recipe: Recipe, stage: TrainStageConfig, run: Path) -> DataOrder:
    """Open the run's shards in the order in which this stage reads them; raise `ArtifactError` when there are none."""
    streams = {source.name: TokenStream(_shards(run) / source.name / "train") for source in recipe.sources}
    weights = mix_of(recipe, stage, {name: stream.tokens for name, stream in streams.items()}).weights
    # A seed of its own for each stage: a second stage does not replay the windows of the first.
    return open_order(streams, weights, stage, derive_seed(recipe.seed, "order", stage.name))


def orders_before(recipe: Recipe, stage: TrainStageConfig, run: Path) -> list[tuple[DataOrder, int]]:
    """Return the orders of the stages before this one that read text, and how many sequences each read."""
    before = [one for one in recipe.train[: recipe.train.index(stage)] if one.learns_from_text]
    return [(data_order(recipe, one, run), one.total_steps * one.batch_seqs) for one in before]


def shard_tokens(recipe: Recipe, run: Path) -> dict[str, int]:
    """Return how many tokens the run's shards have to train on, by source; raise `ArtifactError` when there are none."""
    return {source.name: ShardIndex.read(_shards(run) / source.name / "train").tokens for source in recipe.sources}


def _shards(run: Path) -> Path:
    shards = run / "shards"
    if not (shards / "manifest.json").is_file():
        raise ArtifactError(f"{shards} is not there or not finished; it is made by: pellucid shards RECIPE")
    return shards
