"""Tensor parallelism: each rank of a group holds some heads and some channels of the MLP (Shoeybi et al. 2019, arXiv 1909.08053).

Queries, keys, values, gate and up are cut by outputs, output and down by inputs, so a block needs two sums over the group in each
direction. Embedding, norms and head are whole on every rank. Parameters that are cut are DTensors, so FSDP, checkpoints and
optimizers see their whole shapes.
"""

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Shard, distribute_tensor

from pellucid.model.decoder import MLP, Attending, Attention, Decoder

__all__ = ["cut_tensors"]


def cut_tensors(model: Decoder, mesh: DeviceMesh) -> None:
    """Cut `model`'s blocks in place over the ranks of a one-dimensional mesh, each of which holds the same whole weights.

    Comes before sharding. Heads, kv heads and MLP channels must be multiples of the ranks; `qk_norm` is not supported, because its
    weights belong to heads of all ranks (the recipe's check says so).
    """
    group = mesh.get_group()
    for block in model.blocks:
        attention, mlp = cast(Attention, block.attention), cast(MLP, block.mlp)
        for module in (attention.query, attention.key, attention.value, mlp.gate, mlp.up):
            _cut(module, mesh, 0)
        for module in (attention.output, mlp.down):
            _cut(module, mesh, 1)
        # A class of their own instead of modules around them, which would rename the parameters.
        attention.__class__, mlp.__class__ = _PartOfAttention, _PartOfMLP
        attention.group = mlp.group = group  # type: ignore[assignment]


def _cut(module: nn.Linear, mesh: DeviceMesh, dim: int) -> None:
    for name, parameter in list(module.named_parameters()):
        part = distribute_tensor(parameter.detach(), mesh, [Shard(dim)], src_data_rank=None)
        module.register_parameter(name, nn.Parameter(part))


class _PartOfAttention(Attention):
    """The heads of one rank; what all heads read is the sum over the ranks."""

    group: dist.ProcessGroup

    def forward(self, x_BTD: Tensor, attending: Attending) -> Tensor:
        """Return what the heads of all ranks read, x_BTD."""
        return _sum_forward(super().forward(_sum_backward(x_BTD, self.group), attending), self.group)


class _PartOfMLP(MLP):
    """Some channels of the MLP; its output is the sum over the ranks."""

    group: dist.ProcessGroup

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return x_BTD."""
        return _sum_forward(super().forward(_sum_backward(x_BTD, self.group)), self.group)


class _SumForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        x = x.clone()
        dist.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _SumBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = grads[0].clone()
        dist.all_reduce(grad, group=ctx.group)
        return grad, None


def _sum_forward(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    return cast(Tensor, _SumForward.apply(x, group))  # type: ignore[no-untyped-call]


def _sum_backward(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    return cast(Tensor, _SumBackward.apply(x, group))  # type: ignore[no-untyped-call]
