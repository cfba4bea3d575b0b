"""A decoder's matrices twice: by columns, as a CPU reads them fastest for one token, and packed, as it does for several.

Row by row, each output is a sum over a row, and sums over one vector are what matrix products do worst. Column by column, a step
adds a multiple of a column to all outputs. From three rows on, oneDNN's products of packed matrices are faster; without packing
they would pack anew each time. Values and shapes stay; `benchmarks/decode.py` and `streams.py` say what it gains.
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.generate.lean import lean_blocks
from pellucid.kernels.linear import PackedWeight, linear
from pellucid.model.decoder import Decoder

__all__ = ["ColumnsDecoder"]

_FEWEST_PACKED_ROWS = 3


class ColumnsDecoder(Decoder):
    """A decoder in float32 with two copies of another one's matrices, in evaluation mode. It cannot be trained or saved.

    Without `packed` there is one copy: half the memory, and a few rows at a time take longer.
    """

    def __init__(self, model: Decoder, *, packed: bool = True) -> None:
        with torch.device("meta"):
            super().__init__(model.config)
        self.rotary_cos_TR, self.rotary_sin_TR = model.rotary_cos_TR, model.rotary_sin_TR
        self.embedding.weight = nn.Parameter(_by_columns(model.embedding.weight.float()), requires_grad=False)
        if self.head is not None:
            self.head.weight = nn.Parameter(_by_columns(model.head_weight.float()), requires_grad=False)
        self.norm = deepcopy(model.norm)
        self.blocks = lean_blocks(model, lambda weight_OI, bias_O: _Product(_by_columns(weight_OI.float()), bias_O, packed))
        self.requires_grad_(False)
        self.eval()
        self._head_product = _Product(self.head_weight.detach(), None, packed)

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Return logits_BTV of hidden states."""
        return self._head_product(x_BTD)


class _Product:
    """x · weightᵀ + bias with a matrix that is laid out by columns."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, packed: bool) -> None:
        self._weight_OI, self._bias_O = weight_OI, None if bias_O is None else bias_O.float()
        self._packed = PackedWeight(weight_OI) if packed else None

    def __call__(self, x_BTI: Tensor) -> Tensor:
        if x_BTI.numel() < _FEWEST_PACKED_ROWS * x_BTI.shape[-1]:
            return F.linear(x_BTI, self._weight_OI, self._bias_O)
        if self._packed is None:
            return linear(x_BTI, self._weight_OI, self._bias_O)
        return self._packed.product(x_BTI, self._bias_O)


def _by_columns(weight_OI: Tensor) -> Tensor:
    return weight_OI.detach().t().contiguous().t()
