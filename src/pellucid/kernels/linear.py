"""Linear layers as a CPU computes them fastest in float32; plain torch everywhere else.

oneDNN's products beat the ones that `F.linear` calls; `benchmarks/cpu_pretrain.py` says what this gains. Values and gradients equal
the plain ones to rounding.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

__all__ = ["Linear", "linear", "many_on_cpu", "product"]

_FEWEST_ROWS = 64
"""Below this, as in decoding, plain products are as fast and have less to set up."""

_FEWEST_ROWS_BY_COLUMNS = 3
"""The same for a weight that is laid out by columns to be read, which plain products only do well with one or two rows."""

# Not a public operator, though the one that torch's own compiler calls; without it everything falls back to F.linear.
_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


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
        if rows >= _FEWEST_ROWS_BY_COLUMNS and weight_OI.stride(0) == 1 and _may_use_onednn(x_BTI):
            return cast(Tensor, _onednn(x_BTI, weight_OI, bias_O, "none", [], ""))  # type: ignore[misc]
        return F.linear(x_BTI, weight_OI, bias_O)
    result: Tensor = _Linear.apply(x_BTI.reshape(-1, x_BTI.shape[-1]), weight_OI, bias_O)  # type: ignore[no-untyped-call]
    return result.view(*x_BTI.shape[:-1], -1)


class Linear(nn.Linear):
    """`nn.Linear` by way of `linear`: what a block calls, and what an adapter can take the place of."""

    def forward(self, input: Tensor) -> Tensor:
        """Return x · weightᵀ + bias of x_BTI."""
        return linear(input, self.weight, self.bias)


def _fast(x: Tensor, rows: int) -> bool:
    return _onednn is not None and x.dtype == torch.float32 and many_on_cpu(x, rows) and not torch.is_autocast_enabled("cpu")


def _may_use_onednn(x: Tensor) -> bool:
    return _fast(x, _FEWEST_ROWS) and not torch.is_grad_enabled()


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
