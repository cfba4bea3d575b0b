"""The objective that a stage's recipe names."""

from functools import partial

from pellucid.recipe.training import TrainStageConfig
from pellucid.train.feed import Objective
from pellucid.train.objectives.next_token import next_token

__all__ = ["objective_of"]


def objective_of(stage: TrainStageConfig) -> Objective:
    """Return the stage's objective with its settings."""
    objectives: dict[str, Objective] = {"next_token": partial(next_token, z_loss=stage.z_loss), "sft": next_token}
    return objectives[stage.objective]
