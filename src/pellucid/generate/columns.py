"""A decoder's matrices laid out by columns, as a CPU reads them fastest for one token at a time.

Row by row, each output is a sum over a row, and sums over one vector are what matrix products do worst. Column by column, a step
adds a multiple of a column to all outputs. Values and shapes stay; `benchmarks/decode.py` says what it gains.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from pellucid.generate.lean import Product, lean_blocks
from pellucid.kernels.linear import linear
from pellucid.model.decoder import Decoder

__all__ = ["ColumnsDecoder"]


class ColumnsDecoder(Decoder):
    """A decoder in float32 with copies of another one's matrices, by columns, in evaluation mode. It cannot be trained or saved."""

    def __init__(self, model: Decoder) -> None:
        with torch.device("meta"):
            super().__init__(model.config)
        self.rotary_cos_TR, self.rotary_sin_TR = model.rotary_cos_TR, model.rotary_sin_TR
        self.embedding.weight = nn.Parameter(_by_columns(model.embedding.weight.float()), requires_grad=False)
        if self.head is not None:
            self.head.weight = nn.Parameter(_by_columns(model.head_weight.float()), requires_grad=False)
        self.norm = deepcopy(model.norm)
        self.blocks = lean_blocks(model, _product)
        self.requires_grad_(False)
        self.eval()


def _by_columns(weight_OI: Tensor) -> Tensor:
    return weight_OI.detach().t().contiguous().t()


def _product(weight_OI: Tensor, bias_O: Tensor | None) -> Product:
    weight_OI = _by_columns(weight_OI)
    return lambda x_BTI: linear(x_BTI, weight_OI, bias_O)
