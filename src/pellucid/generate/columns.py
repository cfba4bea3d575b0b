"""A decoder's matrices laid out by columns, as a CPU reads them fastest for one token at a time.

Row by row, each output is a sum over a row, and sums over one vector are what matrix products do worst. Column by column, a step
adds a multiple of a column to all outputs. Values and shapes stay; `benchmarks/decode.py` says what it gains.
"""

import torch

from pellucid.model.decoder import Decoder

__all__ = ["by_columns"]


def by_columns(model: Decoder) -> Decoder:
    """Return a decoder with the same weights, matrices laid out by columns, in evaluation mode; vectors are shared.

    It is for reading on a CPU: saving or training it would have to lay the matrices out again.
    """
    with torch.device("meta"):
        fast = Decoder(model.config)
    weights = {name: weight.t().contiguous().t() if weight.ndim == 2 else weight for name, weight in model.state_dict().items()}
    fast.load_state_dict(weights, assign=True)
    fast.rotary_cos_TR, fast.rotary_sin_TR = model.rotary_cos_TR, model.rotary_sin_TR
    return fast.requires_grad_(False).eval()
