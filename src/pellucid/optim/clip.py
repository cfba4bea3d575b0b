"""Clipping to a global norm, also of gradients that are cut in several ways."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

__all__ = ["clip_gradients", "same_mesh"]


def clip_gradients(parameters: Iterable[Tensor], largest_norm: float) -> Tensor:
    """Scale the gradients down to a global 2-norm of at most `largest_norm`, in place; return the norm before, a plain scalar.

    Each element counts once, on whichever ranks it lies; the same on every rank.
    """
    groups = [group for group in same_mesh(parameters) if any(parameter.grad is not None for parameter in group)]
    norms = []
    for group in groups:
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in group if parameter.grad is not None])
        norms.append(norm.full_tensor() if isinstance(norm, DTensor) else norm)
    total = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
    for group in groups:
        torch.nn.utils.clip_grads_with_norm_(group, largest_norm, total)
    return total


def same_mesh(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Return the parameters in groups that lie on the same ranks, each in its order: torch's joint operations want one mesh."""
    groups: dict[object, list[Tensor]] = {}
    for parameter in parameters:
        groups.setdefault(parameter.device_mesh if isinstance(parameter, DTensor) else None, []).append(parameter)
    return list(groups.values())
