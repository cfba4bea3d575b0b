"""A decoder's matrices twice: mostly by columns, as a CPU reads them fastest for one token, and packed, as it does for several.

Row by row, each output is a sum over a row, and sums over one vector are what matrix products do worst. Column by column, a step
adds a multiple of a column to all outputs, which pays as long as these are not fewer than the inputs. From three rows on, oneDNN's
products of packed matrices are faster; without packing they would pack anew each time. Values and shapes stay;
`benchmarks/decode.py` and `streams.py` say what it gains.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.generate.lean import lean_blocks, lean_norm
from pellucid.kernels.linear import PackedWeight, linear
from pellucid.model.decoder import Decoder

__all__ = ["ColumnsDecoder", "filled_rows"]

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
        self.norm = lean_norm(model.norm)
        self.blocks = lean_blocks(model, lambda weight_OI, bias_O: _Product(_laid_out(weight_OI.float()), bias_O, packed))
        self.requires_grad_(False)
        self.eval()
        self._head_product = _Product(self.head_weight.detach(), None, packed)

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Return logits_BTV of hidden states."""
        return self._head_product(x_BTD)


class _Product:
    """x · weightᵀ + bias with a matrix that is laid out to be read for one row, and packed for several."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, packed: bool) -> None:
        self._weight_OI, self._bias_O = weight_OI, None if bias_O is None else bias_O.float()
        self._packed = PackedWeight(weight_OI) if packed else None

    def __call__(self, x_BTI: Tensor) -> Tensor:
        x_NI = x_BTI.reshape(-1, x_BTI.shape[-1])
        rows = len(x_NI)
        if rows < _FEWEST_PACKED_ROWS:
            return F.linear(x_BTI, self._weight_OI, self._bias_O)
        if (filled := filled_rows(rows)) > rows:
            x_NI = F.pad(x_NI, (0, 0, 0, filled - rows))
        packed, bias_O = self._packed, self._bias_O
        y_NO = linear(x_NI, self._weight_OI, bias_O) if packed is None else packed.product(x_NI, bias_O)
        return y_NO[:rows].view(*x_BTI.shape[:-1], -1)


def filled_rows(rows: int) -> int:
    """Return how many rows are computed for so many: up to an eighth more, and each time they double only eight different numbers.

    oneDNN compiles a program of half a megabyte for each number of rows that it meets, and keeps a thousand of them.
    """
    step = 1 << max(0, rows.bit_length() - 4)
    return -(-rows // step) * step


def _laid_out(weight_OI: Tensor) -> Tensor:
    outputs, inputs = weight_OI.shape
    return weight_OI.detach().clone() if inputs > outputs else _by_columns(weight_OI)


def _by_columns(weight_OI: Tensor) -> Tensor:
    return weight_OI.detach().t().contiguous().t()
