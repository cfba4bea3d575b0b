"""Which parameters get which rate and decay. Each group carries the ratio of its rate to the schedule's."""

from typing import Any

from torch import nn

from pellucid.recipe.training import OptimizerConfig

__all__ = ["group_parameters", "set_learning_rate"]


def group_parameters(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Return up to four groups of `model`'s parameters: the blocks' matrices, the embedding, the head, and norms with biases.

    A group has `name`, `method` ("adamw" or "muon"), `params`, `param_names`, `weight_decay` (matrices only) and `lr_ratio`.
    The embedding is recognised as the weight of an `nn.Embedding`, the head as the model's `head_weight`; a tied head is the
    embedding.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    head = getattr(model, "head_weight", None)
    muon = config.kind == "muon"
    groups: dict[str, dict[str, Any]] = {
        "matrices": {
            "method": "muon" if muon else "adamw",
            "weight_decay": config.weight_decay,
            "lr_ratio": config.muon_lr_ratio if muon else 1.0,
        },
        "embedding": {"method": "adamw", "weight_decay": config.weight_decay, "lr_ratio": config.embedding_lr_ratio},
        "head": {"method": "adamw", "weight_decay": config.weight_decay, "lr_ratio": config.head_lr_ratio},
        "norms_and_biases": {"method": "adamw", "weight_decay": 0.0, "lr_ratio": 1.0},
    }
    for group in groups.values():
        group["params"], group["param_names"] = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in embeddings:
            group = groups["embedding"]
        elif parameter is head:
            group = groups["head"]
        else:
            group = groups["matrices" if parameter.ndim >= 2 else "norms_and_biases"]
        group["params"].append(parameter)
        group["param_names"].append(name)
    return [{"name": name, **group} for name, group in groups.items() if group["params"]]


def set_learning_rate(groups: list[dict[str, Any]], lr: float) -> None:
    """Set every group's rate to `lr` times the group's own ratio."""
    for group in groups:
        group["lr"] = lr * group["lr_ratio"]
