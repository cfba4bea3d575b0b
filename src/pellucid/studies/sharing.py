"""Which runs begin alike, and who begins with whose beginning.

Two runs begin alike as long as they read the same text in the same order into the same model at the same learning rates. What is
alike is computed once: the later run takes the earlier one's stages, or its newest checkpoint within the common beginning. That the
bits are those that it would have computed itself follows from training being a pure function of recipe, seed and step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pellucid.optim.schedules import learning_rate
from pellucid.recipe.computed import what_is_computed
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

__all__ = ["Beginning", "Source", "common_beginning", "in_order", "waves"]

# Of a run's tokens. Warming up alike is no reason to wait for another run.
_WORTH_IT = 0.05
_NOT_OF_TRAINING = frozenset({"name", "description", "train", "evaluate", "export", "plan", "release", "launch"})


@dataclass(frozen=True)
class Beginning:
    """What two runs have in common: whole training stages, steps of the stage after them, and the tokens of both together."""

    stages: int
    steps: int
    tokens: int


@dataclass(frozen=True)
class Source:
    """The run, by its place in a list, that another begins with, and their common beginning."""

    place: int
    beginning: Beginning


def common_beginning(a: Recipe, b: Recipe) -> Beginning:
    """Return how far two runs are alike that agree in all that is around training. Nothing in common: 0 stages, 0 steps."""
    stages = tokens = 0
    for one, other in zip(a.train, b.train, strict=False):
        if _start(one) != _start(other):
            break
        if what_is_computed(one) == what_is_computed(other):
            stages, tokens = stages + 1, tokens + one.length_tokens
            continue
        steps = _common_steps(a, b, one, other)
        return Beginning(stages, steps, tokens + steps * one.batch_tokens)
    return Beginning(stages, 0, tokens)


def _around(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude=dict.fromkeys(_NOT_OF_TRAINING, True))


def _start(stage: TrainStageConfig) -> tuple[str | None, Any]:
    """Return where first weights come from, as far as the recipe says."""
    return stage.init_from, stage.adapter.model_dump(mode="json") if stage.adapter is not None else None


def _common_steps(a: Recipe, b: Recipe, one: TrainStageConfig, other: TrainStageConfig) -> int:
    """Return the steps of a stage of text that two runs have in common though its lengths or schedules differ."""
    if not one.learns_from_text or _besides_length(one) != _besides_length(other):
        return 0
    # Where shares follow from the length, another length is another order of data.
    if one.length_tokens != other.length_tokens and (_by_length(a, one) or _by_length(b, other)):
        return 0
    steps = 0
    for step in range(1, min(one.total_steps, other.total_steps) + 1):
        if learning_rate(one.schedule, step, one.total_steps) != learning_rate(other.schedule, step, other.total_steps):
            break
        steps = step
    return steps


def _besides_length(stage: TrainStageConfig) -> dict[str, Any]:
    return {name: value for name, value in what_is_computed(stage).items() if name not in ("length_tokens", "schedule")}


def _by_length(recipe: Recipe, stage: TrainStageConfig) -> bool:
    capped = recipe.mixture.max_epochs is not None or any(source.max_epochs is not None for source in recipe.sources)
    return capped or bool(stage.epochs) or any(source.epochs is not None for source in recipe.sources)


def in_order(recipes: Sequence[Recipe]) -> tuple[list[int], dict[int, Source]]:
    """Return the places of recipes in the order in which they are best run, and who begins with whom.

    The longest go first, so that a trunk that others are cut from is trained once; each of the others begins with the earlier run
    from which it can take most tokens, at a checkpoint, if that is worth waiting for it. Of equals the first in the list counts.
    """
    order = sorted(range(len(recipes)), key=lambda place: -sum(stage.length_tokens for stage in recipes[place].train))
    around = [orjson.dumps(_around(recipe)) for recipe in recipes]
    sources: dict[int, Source] = {}
    for at, place in enumerate(order):
        length = sum(stage.length_tokens for stage in recipes[place].train)
        best: Source | None = None
        for before in order[:at]:
            if around[before] != around[place]:
                continue
            found = _at_checkpoint(common_beginning(recipes[before], recipes[place]), recipes[before])
            if found.tokens >= _WORTH_IT * length and (best is None or found.tokens > best.beginning.tokens):
                best = Source(before, found)
        if best is not None:
            sources[place] = best
    return order, sources


def _at_checkpoint(found: Beginning, recipe: Recipe) -> Beginning:
    """Return a beginning cut to the last checkpoint in it that the run still has when it is finished."""
    if not found.steps:
        return found
    stage = recipe.train[found.stages]
    every, keep = stage.checkpoint.every_steps, stage.checkpoint.keep_every_steps
    saved = [*range(every, stage.total_steps, every), stage.total_steps]
    kept = [step for step in saved if keep and step % keep == 0] + saved[-stage.checkpoint.keep_last :]
    steps = max((step for step in kept if step <= found.steps), default=0)
    return Beginning(found.stages, steps, found.tokens - (found.steps - steps) * stage.batch_tokens)


def waves(order: Sequence[int], after: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """Return places in waves: each comes after all that it waits for, which are in earlier waves, and order is kept within."""
    depth: dict[int, int] = {}

    def of(place: int) -> int:
        if place not in depth:
            depth[place] = 1 + max((of(before) for before in after.get(place, ())), default=-1)
        return depth[place]

    found: dict[int, list[int]] = {}
    for place in order:
        found.setdefault(of(place), []).append(place)
    return [found[number] for number in sorted(found)]
