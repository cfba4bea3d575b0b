"""One optimizer for the whole model, whatever it is made of, with its state kept by parameter name."""

from typing import Any

import torch
from torch import Tensor, nn

from pellucid.core.errors import ArtifactError
from pellucid.optim.clip import same_mesh
from pellucid.optim.groups import group_parameters, set_learning_rate
from pellucid.optim.muon import Muon
from pellucid.recipe.training import OptimizerConfig

__all__ = ["ModelOptimizer", "build_optimizer"]


class ModelOptimizer:
    """AdamW, or Muon and AdamW, acting as one. `groups` are the groups of all parts, each with its `lr` and `lr_ratio`.

    `state_dict` is `{parameter name: {state name: tensor}}`: it does not depend on the order of parameters, and the options of the
    groups come from the recipe, not from a checkpoint.
    """

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters that are optimized."""
        return [parameter for group in self.groups for parameter in group["params"]]

    def set_learning_rate(self, lr: float) -> None:
        """Set the schedule's rate; each group gets it times its own ratio."""
        set_learning_rate(self.groups, lr)

    def step(self) -> None:
        """Apply one update."""
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors that updates depend on, by parameter name (the optimizer's own tensors, not copies)."""
        return {
            name: {key: value for key, value in part.state[parameter].items() if isinstance(value, Tensor)}
            for part in self.parts
            for name, parameter in _named(part)
            if parameter in part.state
        }

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Take over a state; raise `ArtifactError` when it is another optimizer's or another model's."""
        known = {name for part in self.parts for name, _ in _named(part)}
        if state and set(state) != known:
            strange = sorted(set(state) ^ known)
            raise ArtifactError(f"the optimizer state is of another model: {len(strange)} parameters differ, first {strange[0]!r}")
        for part in self.parts:
            kind, keys = type(part).__name__, {"momentum"} if isinstance(part, Muon) else {"step", "exp_avg", "exp_avg_sq"}
            for name, parameter in _named(part):
                found = state.get(name, {})
                if found and set(found) != keys:
                    raise ArtifactError(f"the optimizer state of {name!r} has {sorted(found)}; {kind} needs {sorted(keys)}")
                wrong = [key for key, value in found.items() if key != "step" and value.shape != parameter.shape]
                if wrong:
                    raise ArtifactError(f"the optimizer state of {name!r} has another shape than the parameter: {wrong}")
            indexed = {index: dict(state[name]) for index, (name, _) in enumerate(_named(part)) if name in state}
            part.load_state_dict({"state": indexed, "param_groups": part.state_dict()["param_groups"]})


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> ModelOptimizer:
    """Return the optimizer that the recipe asks for, over `model`'s parameters, with a rate of 0 until one is set.

    AdamW is the fused one where the parameters' device has it (CPU, CUDA and MPS have).
    """
    groups = [part for group in group_parameters(model, config) for part in _by_mesh(group)]
    parts: list[torch.optim.Optimizer] = []
    matrices = [group for group in groups if group["method"] == "muon"]
    others = [group for group in groups if group["method"] == "adamw"]
    if matrices:
        parts.append(Muon(matrices, lr=0.0, momentum=config.muon_momentum))
    if others:
        fused = all(p.device.type in ("cpu", "cuda", "mps") for group in others for p in group["params"])
        parts.append(torch.optim.AdamW(others, lr=0.0, betas=(config.beta1, config.beta2), eps=config.eps, fused=fused))
    return ModelOptimizer(parts)


def _by_mesh(group: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a group as several, each of parameters on the same ranks, where tensor parallelism mixes them."""
    names = {id(parameter): name for parameter, name in zip(group["params"], group["param_names"], strict=True)}
    return [{**group, "params": part, "param_names": [names[id(p)] for p in part]} for part in same_mesh(group["params"])]


def _named(part: torch.optim.Optimizer) -> list[tuple[str, Tensor]]:
    return [
        (name, parameter)
        for group in part.param_groups
        for name, parameter in zip(group["param_names"], group["params"], strict=True)
    ]
