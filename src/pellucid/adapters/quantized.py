"""Frozen matrices in few bits: int8 with a scale for each row, or NF4 with one for each 64 numbers.

NF4 (Dettmers et al. 2023, arXiv 2305.14314, section 3): each number, divided by the largest magnitude of its block of 64, becomes
the nearest of 16 quantiles of a normal distribution; two of them share a byte. The bytes are those of bitsandbytes, which is not
needed to write or read them.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["PARTS", "Kind", "dequantize", "quantize"]

Kind = Literal["none", "int8", "nf4"]

PARTS: dict[Kind, tuple[str, ...]] = {
    "none": ("weight",),
    "int8": ("weight_int8", "weight_scale"),
    "nf4": ("weight_nf4", "weight_absmax"),
}
"""The names under which a matrix is kept, in the order of `quantize`."""

_BLOCK = 64
_SMALLEST = torch.finfo(torch.float32).tiny
# Appendix E of the paper.
_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


def quantize(weight_OI: Tensor, kind: Kind) -> tuple[Tensor, ...]:
    """Return the tensors that stand for a float32 matrix, named in `PARTS`.

    int8: whole numbers (O, I) and a scale for each row (O), the row's largest magnitude / 127. nf4: ⌈O·I/2⌉ bytes, the first of two
    numbers in the high half, and the largest magnitude of each block of 64 in row order; the last block may be shorter.
    """
    if kind == "none":
        return (weight_OI,)
    if kind == "int8":
        scale_O = weight_OI.abs().amax(1) / 127
        return (weight_OI / scale_O.clamp_min(_SMALLEST)[:, None]).round().to(torch.int8), scale_O
    count = weight_OI.numel()
    blocks_NB = F.pad(weight_OI.reshape(-1), (0, -count % _BLOCK)).view(-1, _BLOCK)
    absmax_N = blocks_NB.abs().amax(1)
    values = _nf4(weight_OI.device)
    nearest = torch.bucketize(blocks_NB / absmax_N.clamp_min(_SMALLEST)[:, None], (values[1:] + values[:-1]) / 2)
    high, low = nearest.to(torch.uint8).view(-1, 2).unbind(1)
    return (high * 16 + low)[: (count + 1) // 2].clone(), absmax_N


def dequantize(kind: Kind, parts: tuple[Tensor, ...], shape: tuple[int, int]) -> Tensor:
    """Return the float32 matrix (O, I) that `quantize` made the parts of, as near as they tell; of kind none, the matrix itself."""
    if kind == "none":
        return parts[0]
    if kind == "int8":
        whole_OI, scale_O = parts
        return whole_OI * scale_O[:, None]
    bytes_N, absmax_N = parts
    values = _nf4(bytes_N.device)
    # A pair of numbers for each of the 256 bytes: one look-up makes two.
    pairs = torch.stack([values.repeat_interleave(16), values.repeat(16)], dim=1)
    numbers = pairs.index_select(0, bytes_N.int()).view(-1)
    count = shape[0] * shape[1]
    blocks_NB = F.pad(numbers, (0, len(absmax_N) * _BLOCK - len(numbers))).view(-1, _BLOCK)
    return (blocks_NB * absmax_N[:, None]).view(-1)[:count].view(shape)


def _nf4(device: torch.device) -> Tensor:
    return torch.tensor(_NF4, dtype=torch.float32, device=device)
