"""A decoder with 8-bit weights, for CPUs: a quarter of float32's bytes to read for each token, and faster products.

Each row of a matrix has one scale (symmetric, -127 to 127). Inputs are the sum of two 8-bit numbers, the second of which holds
what rounding took from the first: 15 bits in all. Both are rows of one integer product, which reads the weights once. So only the
weights' rounding costs accuracy, and since integers add up exactly a row gives the same whatever else is in the batch.
"""

import warnings
from collections.abc import Callable
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from pellucid.core.errors import CannotDoError
from pellucid.generate.lean import lean_blocks, lean_norm
from pellucid.model.decoder import Decoder

__all__ = ["Int8Decoder", "Int8Product"]

_FINER = 254
"""Rounding leaves at most half a step, which is 127 of these."""


class Int8Product:
    """x · weightᵀ + bias with a matrix (O, I) in 8 bits, float32 outside."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        weight_OI = weight_OI.float()
        scale_O = (weight_OI.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        self._sums = _sums_of((weight_OI / scale_O[:, None]).round().to(torch.int8), scale_O)
        self._bias_O = None if bias_O is None else bias_O.float()

    def __call__(self, x_BTI: Tensor) -> Tensor:
        """Return y_BTO."""
        x_NI = x_BTI.reshape(-1, x_BTI.shape[-1])
        step_N1 = (torch.linalg.vector_norm(x_NI, torch.inf, dim=1, keepdim=True) / 127).clamp_(min=torch.finfo(torch.float32).tiny)
        steps_NI = x_NI / step_N1
        coarse_NI = steps_NI.round()
        fine_NI = steps_NI.sub_(coarse_NI).mul_(_FINER).round_()
        sums_MO = self._sums(torch.cat((coarse_NI, fine_NI)))
        # The two are put together in float32: the finer one counts a 254th.
        y_NO = torch.add(sums_MO[: len(x_NI)], sums_MO[len(x_NI) :], alpha=1 / _FINER).mul_(step_N1)
        if self._bias_O is not None:
            y_NO.add_(self._bias_O)
        return y_NO.view(*x_BTI.shape[:-1], -1)


_Sums = Callable[[Tensor], Tensor]
"""Whole numbers from -127 to 127 in float32, (M, I) → their product with a matrix times the scales of its rows, (M, O)."""

_Way = Callable[[Tensor, Tensor], _Sums]
"""A matrix (O, I) in int8 and the scales of its rows → how to multiply with it."""


def _by_int_mm(weight_OI: Tensor, scale_O: Tensor) -> _Sums:
    return lambda x_MI: torch._int_mm(x_MI.to(torch.int8), weight_OI.t()) * scale_O


def _by_fbgemm(weight_OI: Tensor, scale_O: Tensor) -> _Sums:
    zeros_O = torch.zeros(len(scale_O), dtype=torch.long)
    with warnings.catch_warnings():
        # Quantised tensors are to leave torch one day, and this with them: then the other way is taken.
        warnings.simplefilter("ignore")
        weight = torch._make_per_channel_quantized_tensor(weight_OI, scale_O.double(), zeros_O, 0)
        packed = torch.ops.quantized.linear_prepack(weight, None)
    multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
    # Numbers from -127 to 127 are 1 to 255 as it holds them.
    return lambda x_MI: cast(Tensor, multiply(x_MI, 1.0, 128, packed))


def _is_exact(way: _Way) -> bool:
    """Try the largest sums: some instructions add pairs in 16 bits and cut what does not fit."""
    largest_MI = torch.full((2, 64), 127.0)
    largest_MI[1] = -127
    try:
        found_MO = way(torch.full((64, 64), 127, dtype=torch.int8), torch.ones(64))(largest_MI)
    except (AttributeError, RuntimeError):
        return False  # not in this torch, or not on this CPU
    return bool((found_MO.abs() == 64 * 127 * 127).all())


@cache
def _sums_by() -> _Way | None:
    """Return the fastest way whose sums are exact on this CPU. fbgemm keeps the matrix packed, torch's own packs it each time."""
    return next((way for way in (_by_fbgemm, _by_int_mm) if _is_exact(way)), None)


def _sums_of(weight_OI: Tensor, scale_O: Tensor) -> _Sums:
    way = _sums_by()
    if way is None:
        raise CannotDoError("this CPU's 8-bit products are not exact in torch: keep the weights in float32")
    return way(weight_OI, scale_O)


class Int8Decoder(Decoder):
    """A decoder with the blocks' and the head's matrices of another one in 8 bits; the embedding's memory is shared with it.

    `head_weight` stays the float32 matrix; `logits` does not use it. It cannot be trained or saved. Raises `CannotDoError` for
    weights that are not on a CPU, and on a CPU whose 8-bit products are not exact.
    """

    def __init__(self, model: Decoder) -> None:
        if model.head_weight.device.type != "cpu":
            raise CannotDoError(f"8-bit weights run on a CPU, and the model is on {model.head_weight.device}: move it there first")
        with torch.device("meta"):
            super().__init__(model.config)
        # Modules of its own, so that nothing done to them reaches a model in training.
        self.embedding.weight = nn.Parameter(model.embedding.weight.detach(), requires_grad=False)
        if self.head is not None:
            self.head.weight = nn.Parameter(model.head_weight.detach(), requires_grad=False)
        self.norm = lean_norm(model.norm)
        self.rotary_cos_TR, self.rotary_sin_TR = model.rotary_cos_TR, model.rotary_sin_TR
        self.blocks = lean_blocks(model, Int8Product)
        self._int8_head = Int8Product(model.head_weight.detach())
        self.requires_grad_(False)
        self.eval()

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Return logits_BTV of hidden states."""
        return self._int8_head(x_BTD)
