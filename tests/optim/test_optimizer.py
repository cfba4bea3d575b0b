import math

import pytest
import torch
from torch import nn

from pellucid.core.errors import ArtifactError
from pellucid.optim.optimizer import ModelOptimizer, build_optimizer
from pellucid.recipe.training import OptimizerConfig


def make(kind: str, seed: int = 0) -> tuple[nn.Module, ModelOptimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 6), nn.LayerNorm(6), nn.Linear(6, 11))
    optimizer = build_optimizer(model, OptimizerConfig(kind=kind))  # type: ignore[arg-type]
    optimizer.set_learning_rate(0.01)
    return model, optimizer


def update(model: nn.Module, optimizer: ModelOptimizer, seed: int) -> None:
    ids = torch.randint(0, 11, (4, 5), generator=torch.Generator().manual_seed(seed))
    model(ids).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_adamw_takes_the_step_of_its_closed_form() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = build_optimizer(model, OptimizerConfig(beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1))
    optimizer.set_learning_rate(0.01)
    weight, m, v = 2.0, 0.0, 0.0
    for n, gradient in enumerate((0.5, -1.5, 3.0), start=1):
        model.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.95 * v + 0.05 * gradient**2
        weight = weight * (1 - 0.01 * 0.1) - 0.01 * (m / (1 - 0.9**n)) / (math.sqrt(v / (1 - 0.95**n)) + 1e-8)
        assert model.weight.item() == pytest.approx(weight, rel=1e-6)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_state_put_into_a_fresh_optimizer_continues_to_the_same_bits(kind: str) -> None:
    model, optimizer = make(kind)
    for seed in range(3):
        update(model, optimizer, seed)
    state = {name: {key: value.clone() for key, value in found.items()} for name, found in optimizer.state_dict().items()}
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for seed in range(3, 6):
        update(model, optimizer, seed)
    again, fresh = make(kind, seed=9)
    again.load_state_dict(weights)
    fresh.load_state_dict(state)
    for seed in range(3, 6):
        update(again, fresh, seed)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_state_of_another_model_or_optimizer_is_refused_by_name() -> None:
    model, optimizer = make("adamw")
    update(model, optimizer, 0)
    state = optimizer.state_dict()
    with pytest.raises(ArtifactError, match=r"of another model: 1 parameters differ, first '1\.weight'"):
        make("adamw")[1].load_state_dict({name: value for name, value in state.items() if name != "1.weight"})
    with pytest.raises(ArtifactError, match="Muon needs"):
        make("muon")[1].load_state_dict(state)
    broken = {**state, "1.weight": {**state["1.weight"], "exp_avg": torch.zeros(2, 2)}}
    with pytest.raises(ArtifactError, match="another shape"):
        make("adamw")[1].load_state_dict(broken)


def test_an_empty_state_starts_afresh() -> None:
    model, optimizer = make("muon")
    assert optimizer.state_dict() == {}
    optimizer.load_state_dict({})
    before = model[1].weight.detach().clone()  # type: ignore[index, union-attr]
    update(model, optimizer, 0)
    assert not torch.equal(before, model[1].weight)  # type: ignore[index]
