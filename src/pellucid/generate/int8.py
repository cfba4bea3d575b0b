"""A decoder with 8-bit weights, for CPUs: a quarter of float32's bytes to read for each token, and faster products.

Each row of a matrix has one scale (symmetric, -127 to 127). Inputs are the sum of two 8-bit numbers, the second of which holds
what rounding took from the first: 15 bits in all. Both are rows of one integer product, which reads the weights once. So only the
weights' rounding costs accuracy, and since integers add up exactly a row gives the same whatever else is in the batch.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from pellucid.core.errors import CannotDoError
from pellucid.generate.lean import lean_blocks
from pellucid.model.decoder import Decoder

__all__ = ["Int8Decoder", "Int8Product"]

_FINER = 254
"""Rounding leaves at most half a step, which is 127 of these."""


class Int8Product:
    """x · weightᵀ + bias with a matrix (O, I) in 8 bits, float32 outside."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        weight_OI = weight_OI.float()
        scale_O = (weight_OI.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        self._weight_OI = (weight_OI / scale_O[:, None]).round().to(torch.int8)
        # The two products are put together in float32: the finer one counts a 254th.
        self._scale_2O = torch.stack([scale_O, scale_O / _FINER])[:, None]
        self._bias_O = None if bias_O is None else bias_O.float()

    def __call__(self, x_BTI: Tensor) -> Tensor:
        """Return y_BTO."""
        x_NI = x_BTI.reshape(-1, x_BTI.shape[-1])
        step_N1 = (torch.linalg.vector_norm(x_NI, torch.inf, dim=1, keepdim=True) / 127).clamp_(min=torch.finfo(torch.float32).tiny)
        steps_NI = x_NI / step_N1
        coarse_NI = steps_NI.round()
        fine_NI = steps_NI.sub_(coarse_NI).mul_(_FINER).round_()
        halves_MI = torch.cat((coarse_NI, fine_NI)).to(torch.int8)
        sums_MO = torch._int_mm(halves_MI, self._weight_OI.t())
        y_NO = (sums_MO.view(2, len(x_NI), -1) * self._scale_2O).sum(0).mul_(step_N1)
        if self._bias_O is not None:
            y_NO.add_(self._bias_O)
        return y_NO.view(*x_BTI.shape[:-1], -1)


class Int8Decoder(Decoder):
    """A decoder with the blocks' and the head's matrices of another one in 8 bits; the embedding's memory is shared with it.

    `head_weight` stays the float32 matrix; `logits` does not use it. It cannot be trained or saved. Raises `CannotDoError` for
    weights that are not on a CPU, and on a CPU whose 8-bit products are not exact.
    """

    def __init__(self, model: Decoder) -> None:
        if model.head_weight.device.type != "cpu":
            raise CannotDoError(f"8-bit weights run on a CPU, and the model is on {model.head_weight.device}: move it there first")
        if not _products_are_exact():
            raise CannotDoError("this CPU's 8-bit products are not exact in torch: keep the weights in float32")
        with torch.device("meta"):
            super().__init__(model.config)
        # Modules of its own, so that nothing done to them reaches a model in training.
        self.embedding.weight = nn.Parameter(model.embedding.weight.detach(), requires_grad=False)
        if self.head is not None:
            self.head.weight = nn.Parameter(model.head_weight.detach(), requires_grad=False)
        self.norm = deepcopy(model.norm)
        self.rotary_cos_TR, self.rotary_sin_TR = model.rotary_cos_TR, model.rotary_sin_TR
        self.blocks = lean_blocks(model, Int8Product)
        self._int8_head = Int8Product(model.head_weight.detach())
        self.requires_grad_(False)
        self.eval()

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Return logits_BTV of hidden states."""
        return self._int8_head(x_BTD)


def _products_are_exact() -> bool:
    """Try the largest sums: some instructions add pairs in 16 bits and cut what does not fit."""
    largest_MI = torch.full((2, 64), 127, dtype=torch.int8)
    largest_MI[1] = -127
    found_MO = torch._int_mm(largest_MI, torch.full((64, 8), 127, dtype=torch.int8))
    return bool((found_MO.abs() == 64 * 127 * 127).all())
