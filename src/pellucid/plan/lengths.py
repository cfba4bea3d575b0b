"""How long a training stage is: what the recipe says, what it lets one count, and what is not known before there are examples."""

import math
from dataclasses import dataclass
from typing import Literal

from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

__all__ = ["Basis", "StageLength", "length_of", "length_word"]

Basis = Literal["given", "counted", "about", "at_most", "one_step"]


@dataclass(frozen=True)
class StageLength:
    """Tokens and optimizer steps of a stage, and what they rest on. The tokens of a pair are those of both its sides.

    `given`: a stage of text has a length. `counted`: the tokens that the recipe gives for its conversations, so many epochs; of
    pairs, which are not packed, its number of them tells the steps, without those that are held out.
    `at_most`: the examples that it gives, each taken to fill a sequence. `about`: the same of what a model is to write, to which
    the facts' own questions come. `one_step`: not known; one step stands for the whole.
    """

    tokens: int
    steps: int
    basis: Basis


def length_of(recipe: Recipe, stage: TrainStageConfig) -> StageLength:
    """Return how long a stage is, as far as the recipe alone can tell."""
    if stage.learns_from_text:
        return StageLength(stage.length_tokens, stage.total_steps, "given")
    if stage.self_knowledge is not None:
        # A right and a wrong answer to each message. How many questions the facts have is in a file of their own.
        known = stage.self_knowledge
        return _of_examples(stage, 2 * known.first_messages, "about" if known.shot_repeats else "at_most")
    sources = recipe.conversations_of(stage)
    if not sources:
        return _one_step(stage)
    counts = [source.available_examples or source.max_examples for source in sources]
    if all(source.available_tokens is not None for source in sources):
        if not stage.learns_from_pairs or None in counts:
            return StageLength(stage.length_tokens, stage.total_steps, "counted")
        epochs, kept = stage.length_epochs or 1.0, [1 - source.heldout_frac for source in sources]
        tokens = sum((source.available_tokens or 0) * share for source, share in zip(sources, kept, strict=True))
        pairs = sum((count or 0) * share for count, share in zip(counts, kept, strict=True))
        return StageLength(round(epochs * tokens), math.ceil(epochs * pairs / stage.batch_seqs), "counted")
    if None in counts:
        return _one_step(stage)
    return _of_examples(stage, sum(count or 0 for count in counts), "at_most")


def _one_step(stage: TrainStageConfig) -> StageLength:
    return StageLength(stage.batch_tokens * stage.rows_per_example, 1, "one_step")


def _of_examples(stage: TrainStageConfig, examples: int, basis: Basis) -> StageLength:
    read = (stage.length_epochs or 1.0) * examples
    tokens = math.ceil(read) * stage.seq_tokens * stage.rows_per_example
    return StageLength(tokens, math.ceil(read / stage.batch_seqs), basis)


def length_word(bases: set[Basis]) -> str:
    """Return what stands before a figure that was added up over stages of these kinds, with a blank behind it: 'at most '."""
    words = [word for basis, word in (("at_most", "at most"), ("about", "about")) if basis in bases]
    return " ".join(words) + " " if words else ""
