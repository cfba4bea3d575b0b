"""The conversations and pairs of a run, opened in the order in which a training stage reads them."""

from pathlib import Path

from pellucid.batches.examples import ExampleOrder, Pace
from pellucid.conversations.store import Examples
from pellucid.core.errors import ArtifactError
from pellucid.core.seeds import derive_seed
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

__all__ = ["SELF_KNOWLEDGE_DATA", "example_folders", "example_order", "heldout_orders"]

SELF_KNOWLEDGE_DATA = "data"
"""Where in its own folder a stage keeps the examples that it makes itself."""


def example_folders(recipe: Recipe, stage: TrainStageConfig, run: Path, split: str) -> dict[str, Path]:
    """Return the folders with the examples of a stage by source, those that have any of this split.

    Raises `ArtifactError` when there are no conversations yet, or when a source turned out to be of the other kind: its shape,
    `auto`, is told by its first record.
    """
    if stage.objective == "self_knowledge":
        folders = {stage.name: run / stage.name / SELF_KNOWLEDGE_DATA / split}
    else:
        root = run / "conversations"
        if not (root / "manifest.json").is_file():
            raise ArtifactError(f"{root} is not there or not finished; it is made by: pellucid conversations RECIPE")
        folders = {source.name: root / source.name / split for source in recipe.conversations_of(stage)}
    wanted = stage.rows_per_example
    opened = {name: Examples(folder) for name, folder in folders.items() if (folder / "examples.json").is_file()}
    named = stage.conversations or ()
    for name, examples in opened.items():
        if name in named and examples.sequences_per_example != wanted:
            kind = "preference pairs" if wanted == 1 else "conversations"
            raise ArtifactError(f"stage {stage.name!r} cannot learn from {name!r}: it holds {kind}; see train.conversations")
    return {name: one.folder for name, one in opened.items() if one.examples and one.sequences_per_example == wanted}


def example_order(recipe: Recipe, stage: TrainStageConfig, run: Path, pad_id: int) -> ExampleOrder:
    """Return the order in which a stage reads its examples; raise `DataError` when there are none."""
    sources = {name: Examples(folder) for name, folder in example_folders(recipe, stage, run, "train").items()}
    pace = Pace(stage.length_epochs or 1.0, stage.batch_seqs)
    seed = derive_seed(recipe.seed, "order", stage.name)
    return ExampleOrder(sources, stage.seq_tokens, seed, pace, pad_id, packed=stage.packing == "best_fit")


def heldout_orders(recipe: Recipe, stage: TrainStageConfig, run: Path, pad_id: int) -> dict[str, ExampleOrder]:
    """Return the held-out examples of a stage by source, each example by itself."""
    pace = Pace(1.0, stage.micro_seqs)
    orders = {}
    for name, folder in example_folders(recipe, stage, run, "heldout").items():
        examples = Examples(folder, most=stage.heldout.max_examples)
        orders[name] = ExampleOrder({name: examples}, stage.seq_tokens, 0, pace, pad_id, packed=False)
    return orders
