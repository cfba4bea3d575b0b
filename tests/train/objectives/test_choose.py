from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import pytest
import torch

from pellucid.recipe import training
from pellucid.recipe.tuning import PreferenceConfig
from pellucid.train.feed import ObjectiveLoss
from pellucid.train.objectives.choose import objective_of
from pellucid.train.objectives.dpo import dpo
from pellucid.train.objectives.ipo import ipo
from pellucid.train.objectives.next_token import next_token
from pellucid.train.objectives.orpo import orpo
from pellucid.train.objectives.self_knowledge import self_knowledge

PREFERENCE = PreferenceConfig(beta=0.3, label_smoothing=0.2, length_normalised=True)
EXPECTED: dict[str, Callable[..., ObjectiveLoss]] = {
    "next_token": partial(next_token, z_loss=1e-2),
    "sft": partial(next_token, z_loss=1e-2),
    "self_knowledge": partial(self_knowledge, z_loss=1e-2),
    "dpo": partial(dpo, beta=0.3, label_smoothing=0.2, length_normalised=True),
    "ipo": partial(ipo, beta=0.3),
    "orpo": partial(orpo, beta=0.3),
}


@pytest.mark.parametrize("name", get_args(training.Objective))
def test_every_objective_of_recipes_is_there_with_the_stages_own_settings(twins: Any, tiny: Any, name: str) -> None:
    stage = tiny.stage(objective=name, z_loss=1e-2, preference=PREFERENCE)
    values = {"reference": torch.full((3, 2), -20.0), "weight": torch.tensor([1.0, 0.1] * 3)}
    batch = twins.batch(twins.pairs(3))._replace(values=values)
    ours, expected = objective_of(stage)(twins.ours, batch), EXPECTED[name](twins.ours, batch)
    assert torch.equal(ours.loss_sum, expected.loss_sum) and torch.equal(ours.nats_B, expected.nats_B)
    assert len(ours.nats_B) == (3 if stage.learns_from_pairs else 6)
    assert bool(ours.figures) == stage.learns_from_pairs
    assert all(figure.shape == ours.nats_B.shape and not figure.requires_grad for figure in ours.figures.values())
