"""Linear layers as a CPU computes them fastest in float32; plain torch everywhere else.

oneDNN's products beat the ones that `F.linear` calls; `benchmarks/cpu_pretrain.py` says what this gains. Values and gradients equal
the plain ones to rounding.
"""

import os
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

__all__ = ["Linear", "PackedWeight", "linear", "many_on_cpu", "product"]

_FEWEST_ROWS = 64
"""Below this, as in decoding, plain products are as fast and have less to set up."""

# For each shape of a product that they meet, oneDNN and torch's layer above it keep half a megabyte of code and buffers, of the
# last 1024 shapes each. Training meets a dozen; evaluation, whose texts have any length, would fill both. They look here when the
# first product is computed.
for _name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_name, "32")

# Not a public operator, though the one that torch's own compiler calls; without it everything falls back to F.linear.
_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_pack = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)


def many_on_cpu(x: Tensor, rows: int) -> bool:
    """Tell whether a CPU is to do enough work at once, and eagerly, for a way of its own to be the faster one."""
    return x.device.type == "cpu" and rows >= _FEWEST_ROWS and not torch.compiler.is_compiling()


def product(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Return x · weightᵀ + bias without gradients. `weight_OI` may be a transposed view."""
    if not _fast(x_NI, x_NI.shape[0]):
        return F.linear(x_NI, weight_OI, bias_O)
    assert _onednn is not None
    return cast(Tensor, _onednn(x_NI, weight_OI, bias_O, "none", [], ""))


def linear(x_BTI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Return x · weightᵀ + bias, as `F.linear`; of weights that are cut over ranks, what this rank's part gives."""
    if isinstance(weight_OI, DTensor):
        weight_OI, bias_O = weight_OI.to_local(), bias_O.to_local() if isinstance(bias_O, DTensor) else None
    rows = x_BTI.numel() // x_BTI.shape[-1]
    if not _fast(x_BTI, rows):
        return F.linear(x_BTI, weight_OI, bias_O)
    result: Tensor = _Linear.apply(x_BTI.reshape(-1, x_BTI.shape[-1]), weight_OI, bias_O)  # type: ignore[no-untyped-call]
    return result.view(*x_BTI.shape[:-1], -1)


class PackedWeight:
    """A float32 matrix on a CPU in the order in which oneDNN's products read it, for a few rows at a time as well as for many.

    Without it they put the matrix into that order anew at each product. It is a copy, and has no gradient.
    """

    def __init__(self, weight_OI: Tensor) -> None:
        weight_OI = weight_OI.detach().float().contiguous()
        self._packed = _onednn is not None and _pack is not None
        self._weight = cast(Callable[[Tensor], Tensor], _pack)(weight_OI) if self._packed else weight_OI

    def product(self, x_BTI: Tensor, bias_O: Tensor | None = None) -> Tensor:
        """Return x · weightᵀ + bias."""
        if not self._packed:
            return F.linear(x_BTI, self._weight, bias_O)
        assert _onednn is not None
        return cast(Tensor, _onednn(x_BTI, self._weight, bias_O, "none", [], ""))


class Linear(nn.Linear):
    """`nn.Linear` by way of `linear`: what a block calls, and what an adapter can take the place of."""

    def forward(self, input: Tensor) -> Tensor:
        """Return x · weightᵀ + bias of x_BTI."""
        return linear(input, self.weight, self.bias)


def _fast(x: Tensor, rows: int) -> bool:
    return _onednn is not None and x.dtype == torch.float32 and many_on_cpu(x, rows) and not torch.is_autocast_enabled("cpu")


class _Linear(torch.autograd.Function):
    """The gradient of the weight is a product that sums over many rows, where torch's own is the faster one."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_NI, weight_OI)
        return product(x_NI, weight_OI, bias_O)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, weight_OI = ctx.saved_tensors
        dy_NO, (need_x, need_weight, need_bias) = grads[0], ctx.needs_input_grad
        dx_NI = product(dy_NO, weight_OI.T) if need_x else None
        return dx_NI, dy_NO.T @ x_NI if need_weight else None, dy_NO.sum(0) if need_bias else None
