"""Rules about the mixture: how much of each source is read, and how documents become sequences."""

import math
from collections.abc import Iterator

from pellucid.recipe.merge import suggest
from pellucid.recipe.problems import Finding, Loc
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

__all__ = ["source_amount", "stage_packing", "stage_weights"]


def stage_weights(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """A stage's weights and epochs name sources, are not negative, and something is read."""
    names = [source.name for source in recipe.sources]
    for key, given in (("weights", stage.weights or {}), ("epochs", stage.epochs or {})):
        for name, value in given.items():
            if name not in names:
                near = suggest(name, names)
                fix = f"did you mean {near}?" if near else f"sources: {', '.join(names)}"
                yield Finding((*loc, key, name), "names no source", fix)
            if not 0 <= value < math.inf:
                yield Finding((*loc, key, name), f"got {value:g}; must be 0 or more")
    for name in (stage.weights or {}).keys() & (stage.epochs or {}).keys():
        yield Finding((*loc, "epochs", name), "the stage gives this source a weight as well", "keep one of the two")
    read = [*recipe.weights_of(stage).values(), *recipe.spread_epochs(stage).values(), *(stage.epochs or {}).values()]
    if stage.learns_from_text and recipe.sources and not any(value > 0 for value in read):
        yield Finding((*loc, "weights"), "every source has weight 0, so there is nothing to train on", "give a source a weight")


def source_amount(recipe: Recipe) -> Iterator[Finding]:
    """A source says how much of it is read: a weight or epochs. Only a temperature makes a weight of its size."""
    for index, source in enumerate(recipe.sources):
        if source.weight is not None and source.epochs is not None:
            yield Finding(("sources", index), "has both weight and epochs; must have exactly one", "leave one out")
        if source.epochs is not None and source.max_epochs is not None and source.epochs > source.max_epochs:
            yield Finding(
                ("sources", index, "epochs"),
                f"got {source.epochs:g}; must be at most max_epochs = {source.max_epochs:g}",
                "max_epochs is for weights: leave it out",
            )
        if source.weight is None and source.epochs is None and recipe.mixture.temperature is None:
            fix = "weight: 1, epochs: 1, or mixture.temperature to weigh by size"
            yield Finding(("sources", index, "weight"), "missing; how much of the source is read", fix)


def stage_packing(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """Parts of different languages divide a sequence and the mixture's block, and are windows."""
    if stage.attention != "cross_lingual":
        return
    parts, fitting = stage.lingual_parts, [2**n for n in range(1, 7) if stage.seq_tokens % 2**n == 0 and stage.seq_tokens > 2**n]
    if parts not in fitting:
        yield Finding(
            (*loc, "lingual_parts"),
            f"got {parts}; must be a power of two, up to 64, that divides seq_tokens = {stage.seq_tokens}",
            f"possible: {', '.join(map(str, fitting))}" if fitting else "choose an even seq_tokens",
        )
    if stage.packing != "windows":
        yield Finding(
            (*loc, "packing"), f"got {stage.packing}; attention: cross_lingual is made of windows", "set packing: windows"
        )
