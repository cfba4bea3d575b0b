"""Muon for the blocks' matrices: momentum, then the nearest semi-orthogonal matrix as the update.

`torch.optim.Muon` does the same one matrix at a time and always in bfloat16. Here matrices of one shape go through together, in
bfloat16 on a GPU and in float32 on a CPU: processors differ widely in bfloat16 (half the time of float32 where they compute it,
many times as long where they do not, see benchmarks/optimizer_step.json), and float32 gives all of them the same losses.

Of several ranks each takes some of the matrices whole, whether they are sharded or held by all, and gives back the result; with
tensor parallelism and FSDP together, every rank takes all.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import _StridedShard

__all__ = ["Muon", "orthogonalize"]

# The quintic of Jordan et al. 2024 ("Muon: An optimizer for hidden layers in neural networks"): steep at zero, ends near one.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_EPS = 1e-7


@torch.no_grad()
def orthogonalize(x_NPQ: Tensor, iterations: int = _ITERATIONS) -> Tensor:
    """Return N matrices of P by Q with the singular vectors of the given ones and singular values of about 0.7 to 1.2.

    Newton–Schulz iteration on matrices scaled to Frobenius norm one; the wide orientation is used because its Gram matrix is small.
    """
    tall = x_NPQ.shape[-2] > x_NPQ.shape[-1]
    x = x_NPQ.mT if tall else x_NPQ
    if x.is_cuda:
        x = x.bfloat16()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(_EPS)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return (x.mT if tall else x).to(x_NPQ.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled decay; for two-dimensional parameters only.

    The update is scaled by 0.2·sqrt(max(rows, columns)) so that its root mean square is AdamW's, and one schedule and one weight
    decay serve both (Liu et al. 2025, arXiv 2502.16982, section 2.2).
    """

    def __init__(self, params: Any, lr: float, momentum: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        shapes = [tuple(p.shape) for group in self.param_groups for p in group["params"] if p.ndim != 2]
        assert not shapes, f"Muon is for matrices; got parameters of shapes {shapes}"

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply one update to every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[object, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    cut = parameter.placements if isinstance(parameter, DTensor) else ()
                    alike.setdefault((parameter.shape, cut), []).append(parameter)
            for parameters in alike.values():
                self._step_together(parameters, group)

    def _step_together(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        directions = []
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(gradient)
            state["momentum"].lerp_(gradient, 1 - momentum)
            directions.append(gradient.lerp(state["momentum"], momentum))
        updates = _orthogonalize_together(directions)
        scale = 0.2 * math.sqrt(max(parameters[0].shape))
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - lr * group["weight_decay"]).add_(update, alpha=-lr * scale)


def _orthogonalize_together(directions: list[Tensor]) -> Sequence[Tensor]:
    """Orthogonalise matrices that are cut over ranks, all alike, or held by all: each rank takes some of them whole."""
    first = directions[0]
    if not isinstance(first, DTensor):
        return orthogonalize(torch.stack(directions)).unbind()
    mesh, placements = first.device_mesh, first.placements
    if any(isinstance(placement, _StridedShard) for placement in placements):
        # Matrices cut twice, by heads and by FSDP: torch 2.11 cannot stack them, so here every rank does all the work.
        whole = orthogonalize(torch.stack([cast(DTensor, direction).full_tensor() for direction in directions]))
        return [distribute_tensor(update, mesh, placements, src_data_rank=None) for update in whole.unbind()]
    stacked = cast(DTensor, torch.stack(directions))
    some = stacked.redistribute(placements=[Shard(0)] * mesh.ndim)
    done = DTensor.from_local(
        orthogonalize(some.to_local()), mesh, some.placements, run_check=False, shape=some.shape, stride=some.stride()
    )
    return done.redistribute(placements=stacked.placements).unbind()
