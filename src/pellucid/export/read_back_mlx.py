"""A folder of MLX → `ReadBack`: 16-bit floats, or 4-bit integers with a scale and an offset for each group of a row."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError
from pellucid.export.read_back import ReadBack
from pellucid.export.read_back_folder import dequantized, open_stored
from pellucid.recipe.model import ModelConfig

__all__ = ["read_back_mlx"]

_BITS = 4
_FLOATS = (torch.float16, torch.bfloat16, torch.float32)
_SETTINGS = ("quantization", "quantization_config")


def read_back_mlx(path: Path, config: ModelConfig) -> ReadBack:
    """Return the weights of a folder that mlx-lm loads, by MLX's formula: code times scale, and offset.

    `config` is the checkpoint's. mlx-lm takes a matrix for quantised when scales lie beside it, and its group from the settings of
    `config.json`. The package mlx is not needed. Raises `ArtifactError` where the files are not what MLX would read as this model.
    """
    stored = open_stored(path)
    modules = [name.removesuffix(".scales") for name in stored.tensors if name.endswith(".scales")]
    dense: dict[str, Tensor] = {}
    for module in modules:
        where = f"{path}: {module}"
        group = _group(where, stored.values.get(_SETTINGS[0]), module)
        packed_RW = stored.take(f"{module}.weight", torch.uint32)
        scales_RG, offsets_RG = (stored.take(f"{module}.{part}", *_FLOATS) for part in ("scales", "biases"))
        dense[f"{module}.weight"] = dequantized(where, codes_RW := _unpacked(where, packed_RW), scales_RG, offsets_RG)
        if codes_RW.shape[1] != group * scales_RG.shape[1]:
            raise ArtifactError(
                f"{where}: {scales_RG.shape[1]} scales for rows of {codes_RW.shape[1]} weights; groups have {group}"
            )
    return stored.finish(dense, dict.fromkeys(dense, "int4"), config, *_SETTINGS)


def _group(where: str, settings: Any, module: str) -> int:
    """Weights of a group by `config.json`, where a module may have settings of its own."""
    if not isinstance(settings, Mapping):
        raise ArtifactError(f"{where} has scales, and config.json has no mapping `quantization`")
    own = settings.get(module, settings)
    group, bits, mode = (
        (own.get(name) for name in ("group_size", "bits", "mode")) if isinstance(own, Mapping) else (None, None, None)
    )
    if not isinstance(group, int) or group < 1 or bits != _BITS or mode not in (None, "affine"):
        raise ArtifactError(f"{where}: quantization: got {own!r:.120}; read back are groups of {_BITS} bits in the mode affine")
    return group


def _unpacked(where: str, packed_RW: Tensor) -> Tensor:
    """Return the codes of eight to a word, the first in its lowest bits, [rows, width]."""
    if packed_RW.ndim != 2:
        raise ArtifactError(f"{where}: integers of shape {tuple(packed_RW.shape)}; a matrix is expected")
    bytes_RW = packed_RW.contiguous().view(torch.uint8)
    return torch.stack((bytes_RW & 15, bytes_RW >> 4), -1).flatten(1)
