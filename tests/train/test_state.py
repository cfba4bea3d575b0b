from pathlib import Path
from typing import Any

import torch

from pellucid.checkpoint.files import load_checkpoint, save_checkpoint
from pellucid.model.decoder import Decoder, init_weights
from pellucid.optim.optimizer import build_optimizer
from pellucid.recipe.training import OptimizerConfig
from pellucid.train.state import Progress, TrainState


def make(tiny: Any, seed: int) -> TrainState:
    model = Decoder(tiny.model)
    init_weights(model, seed)
    return TrainState(model, build_optimizer(model, OptimizerConfig(kind="muon")))


def update(state: TrainState) -> None:
    x_BTD = state.model(torch.arange(12).reshape(2, 6))
    state.model.logits(x_BTD).square().mean().backward()
    state.optimizer.set_learning_rate(0.01)
    state.optimizer.step()
    state.optimizer.zero_grad()


def test_a_state_goes_through_a_checkpoint_and_continues_to_the_same_bits(tiny: Any, tmp_path: Path) -> None:
    state = make(tiny, 1)
    update(state)
    state.progress = Progress(3, 700, 1, {"law": 0.1 + 0.2}, {"law": 5}, [{"step": 2, "sequences": [4, 7]}])
    path = save_checkpoint(tmp_path, 3, state.state_dict(), meta={})
    drawn = torch.rand(3)
    update(state)
    other = make(tiny, 2)
    other.load_state_dict(load_checkpoint(path)[0])
    assert other.progress == state.progress
    assert torch.equal(torch.rand(3), drawn)
    update(other)
    assert all(torch.equal(a, b) for a, b in zip(state.model.parameters(), other.model.parameters(), strict=True))


def test_a_state_before_the_first_step_is_a_state(tiny: Any, tmp_path: Path) -> None:
    state, other = make(tiny, 1), make(tiny, 2)
    other.load_state_dict(load_checkpoint(save_checkpoint(tmp_path, 0, state.state_dict(), meta={}))[0])
    assert other.progress == Progress()
    assert torch.equal(state.model.embedding.weight, other.model.embedding.weight)
