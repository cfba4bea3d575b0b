"""A decoder with 8-bit weights, for CPUs: a quarter of float32's bytes to read for each token, and faster products.

Each row of a matrix has one scale (symmetric, -127 to 127). Inputs are the sum of two 8-bit numbers, the second of which holds
what rounding took from the first: 15 bits in all. Both are rows of one integer product, which reads the weights once. So only the
weights' rounding costs accuracy, and since integers add up exactly a row gives the same whatever else is in the batch.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from pellucid.core.errors import CannotDoError
from pellucid.model.decoder import Block, Decoder

__all__ = ["Int8Decoder", "Int8Linear"]

_FINER = 254
"""Rounding leaves at most half a step, which is 127 of these."""


class _Together:
    """Matrices that are always given the same input: one product serves all of them."""

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        weight_OI = torch.cat([linear.weight.detach() for linear in linears]).float()
        scale_O = (weight_OI.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        self.weight_OI = (weight_OI / scale_O[:, None]).round().to(torch.int8)
        # The two products are put together in float32: the finer one counts a 254th.
        self.scale_2O = torch.stack([scale_O, scale_O / _FINER])[:, None]
        biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
        self.bias_O = torch.cat(biases).float() if biases else None
        self.sizes = [linear.out_features for linear in linears]
        self._input: Tensor | None = None
        self._outputs: tuple[Tensor, ...] = ()

    def output(self, x_BTI: Tensor, part: int) -> Tensor:
        """Return what one of the matrices makes of an input; the first that is asked computes for all."""
        if x_BTI is not self._input:
            y_BTO = self._product(x_BTI.reshape(-1, x_BTI.shape[-1])).view(*x_BTI.shape[:-1], -1)
            self._outputs = torch.split(y_BTO, self.sizes, dim=-1)
            self._input = x_BTI
        y_BTO = self._outputs[part]
        if part == len(self.sizes) - 1:
            self._input, self._outputs = None, ()
        return y_BTO

    def _product(self, x_NI: Tensor) -> Tensor:
        step_N1 = (x_NI.abs().amax(1, keepdim=True) / 127).clamp_(min=torch.finfo(torch.float32).tiny)
        steps_NI = x_NI / step_N1
        coarse_NI = steps_NI.round()
        fine_NI = steps_NI.sub_(coarse_NI).mul_(_FINER).round_()
        halves_MI = torch.cat((coarse_NI, fine_NI)).to(torch.int8)
        sums_MO = torch._int_mm(halves_MI, self.weight_OI.t())
        y_NO = (sums_MO.view(2, len(x_NI), -1) * self.scale_2O).sum(0).mul_(step_N1)
        return y_NO if self.bias_O is None else y_NO.add_(self.bias_O)


class Int8Linear(nn.Module):
    """One of the matrices that are multiplied together, in the place of its `nn.Linear`."""

    def __init__(self, together: _Together, part: int) -> None:
        super().__init__()
        self._together, self._part = together, part

    def forward(self, x_BTI: Tensor) -> Tensor:
        """Return x · weightᵀ + bias of x_BTI, float32."""
        return self._together.output(x_BTI, self._part)


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
        for ours, theirs in zip(self.blocks, model.blocks, strict=True):
            assert isinstance(ours, Block) and isinstance(theirs, Block)
            ours.attention_norm, ours.mlp_norm = deepcopy(theirs.attention_norm), deepcopy(theirs.mlp_norm)
            ours.attention.query_norm = deepcopy(theirs.attention.query_norm)
            ours.attention.key_norm = deepcopy(theirs.attention.key_norm)
            for ours_part, theirs_part, names in (
                (ours.attention, theirs.attention, ("query", "key", "value")),
                (ours.attention, theirs.attention, ("output",)),
                (ours.mlp, theirs.mlp, ("gate", "up")),
                (ours.mlp, theirs.mlp, ("down",)),
            ):
                together = _Together([theirs_part.get_submodule(name) for name in names])  # type: ignore[misc]
                for part, name in enumerate(names):
                    setattr(ours_part, name, Int8Linear(together, part))
        head = nn.Linear(model.config.hidden, model.config.vocab_tokens, bias=False, device="meta")
        head.weight = nn.Parameter(model.head_weight.detach(), requires_grad=False)
        self._int8_head = Int8Linear(_Together([head]), 0)
        self.requires_grad_(False)
        self.eval()

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Return logits_BTV of hidden states."""
        return self._int8_head(x_BTD)  # type: ignore[no-any-return]


def _products_are_exact() -> bool:
    """Try the largest sums: some instructions add pairs in 16 bits and cut what does not fit."""
    largest_MI = torch.full((2, 64), 127, dtype=torch.int8)
    largest_MI[1] = -127
    found_MO = torch._int_mm(largest_MI, torch.full((64, 8), 127, dtype=torch.int8))
    return bool((found_MO.abs() == 64 * 127 * 127).all())
