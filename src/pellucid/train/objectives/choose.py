"""Which objective a stage trains with.

Of the methods for preferences, KTO (arXiv 2402.01306) is not among them: its loss compares each answer with a mean over the whole
batch, inside a sigmoid, and so is no sum over sequences, which is what an objective returns of a micro-batch.
"""

from functools import partial

from pellucid.recipe.training import TrainStageConfig
from pellucid.train.feed import Objective
from pellucid.train.objectives.dpo import dpo
from pellucid.train.objectives.ipo import ipo
from pellucid.train.objectives.next_token import next_token
from pellucid.train.objectives.orpo import orpo
from pellucid.train.objectives.self_knowledge import self_knowledge

__all__ = ["objective_of"]


def objective_of(stage: TrainStageConfig) -> Objective:
    """Return the stage's objective with the stage's settings. What no objective uses, the recipe's check has refused."""
    preference = stage.preference
    objectives: dict[str, Objective] = {
        "next_token": partial(next_token, z_loss=stage.z_loss),
        "sft": partial(next_token, z_loss=stage.z_loss),
        "self_knowledge": partial(self_knowledge, z_loss=stage.z_loss),
        "dpo": partial(
            dpo,
            beta=preference.beta,
            label_smoothing=preference.label_smoothing,
            length_normalised=preference.length_normalised,
        ),
        "ipo": partial(ipo, beta=preference.beta),
        "orpo": partial(orpo, beta=preference.beta),
    }
    return objectives[stage.objective]
