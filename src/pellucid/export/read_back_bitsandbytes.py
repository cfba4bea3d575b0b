"""A folder of LLM.int8 → `ReadBack`: 8-bit integers, and for each row the value that 127 stands for (its file calls it SCB)."""

from pathlib import Path

import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError
from pellucid.export.read_back import ReadBack
from pellucid.export.read_back_folder import dequantized, open_stored
from pellucid.recipe.model import ModelConfig

__all__ = ["read_back_bitsandbytes"]

_LARGEST = 127
_ROWS = 0
"""bitsandbytes' number for integers that lie as the matrix does; others are for kinds of GPU."""


def read_back_bitsandbytes(path: Path, config: ModelConfig) -> ReadBack:
    """Return the weights: code times the row's largest value, by 127 (Dettmers et al. 2022, arXiv 2208.07339, section 2.1).

    `config` is the checkpoint's. Outliers are columns of activations, found while it runs; nothing of them lies in the files. The
    package bitsandbytes is not needed. Raises `ArtifactError` where the files are not what it would read as this model.
    """
    stored = open_stored(path)
    dense: dict[str, Tensor] = {}
    for module in [name.removesuffix(".SCB") for name in stored.tensors if name.endswith(".SCB")]:
        where = f"{path}: {module}.weight"
        codes_RW = stored.take(f"{module}.weight", torch.int8)
        largest_R = stored.take(f"{module}.SCB", torch.float32)
        layout = stored.take(f"{module}.weight_format", torch.uint8)
        if layout.numel() != 1 or int(layout) != _ROWS:
            raise ArtifactError(f"{where}: weight_format: got {layout.tolist()!r:.60}; must be {_ROWS}")
        dense[f"{module}.weight"] = dequantized(where, codes_RW, largest_R.reshape(-1, 1) / _LARGEST)
    return stored.finish(dense, dict.fromkeys(dense, "int8"), config, "quantization_config")
