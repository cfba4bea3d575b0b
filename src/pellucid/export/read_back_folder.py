"""What the readers of quantised folders share: safetensors as they are stored, and weights made dense under our names.

The matrices of such a folder lie in its files as integers and scales, under names that each format has its own rule for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pellucid.checkpoint.hf_folder import CONFIG, all_under_our_names, read_hf_config, weight_files
from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json
from pellucid.core.safetensors import read_safetensors_header
from pellucid.export.read_back import ReadBack, told
from pellucid.recipe.model import ModelConfig

__all__ = ["StoredFolder", "dequantized", "open_stored"]

_FLOATS = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


@dataclass(frozen=True)
class StoredFolder:
    """A folder's tensors as its files have them, what the files say beside them, and the values of `config.json`."""

    folder: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    values: Mapping[str, Any]

    def take(self, name: str, *types: torch.dtype) -> Tensor:
        """Take a tensor out. Raises `ArtifactError` where it is missing or has none of these types."""
        if name not in self.tensors:
            raise ArtifactError(f"{self.folder}: {name} is missing")
        tensor = self.tensors.pop(name)
        if types and tensor.dtype not in types:
            expected = ", ".join(str(one).removeprefix("torch.") for one in types)
            raise ArtifactError(f"{self.folder}: {name} has type {tensor.dtype}; expected is {expected}")
        return tensor

    def finish(self, dense: Mapping[str, Tensor], types: Mapping[str, str], config: ModelConfig, *quantization: str) -> ReadBack:
        """Return the matrices that were made dense, with all other tensors, which must be plain floats, under our names.

        `config` is the checkpoint's, `quantization` the fields of `config.json` that the reader has read.
        Raises `ArtifactError` where the tensors are not those of this shape, or `config.json` describes what the decoder is not.
        """
        for name, tensor in self.tensors.items():
            if tensor.dtype not in _FLOATS:
                raise ArtifactError(f"{self.folder}: {name} has type {tensor.dtype}, and nothing says what its numbers stand for")
        # A copy: a tensor that stays mapped would change, or crash, when its file does.
        state = {name: tensor.to(torch.float32, copy=True) for name, tensor in self.tensors.items()} | dict(dense)
        kinds = {name: _FLOATS[tensor.dtype] for name, tensor in self.tensors.items()} | dict(types)
        described = read_hf_config(self.folder / CONFIG, beside=quantization)
        has_head = "lm_head.weight" in state
        written = config.model_copy(update={"tied_head": not has_head})
        ours, ours_types = all_under_our_names(self.folder, state, kinds, written)
        # A tied head may be written out; that it is the embedding, its rows show.
        silent = ("norm_bias", "tied_head") if has_head and not described.tied_head else ("norm_bias",)
        return ReadBack(told(described, config, silent), ours, ours_types)


def open_stored(folder: Path) -> StoredFolder:
    """Return all tensors of a folder's safetensors, of whatever type. Raises `ArtifactError` naming what cannot be read."""
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is no folder with weights")
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for file in (folder / name for name in weight_files(folder)):
        read_safetensors_header(file)
        try:
            with safe_open(file, framework="pt") as opened:
                metadata |= opened.metadata() or {}
                tensors |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (it is no mapping)
        except (SafetensorError, OSError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{file} cannot be read: {error}") from error
    values = read_json(folder / CONFIG)
    if not isinstance(values, Mapping):
        raise ArtifactError(f"{folder / CONFIG} is not a mapping of fields to values")
    return StoredFolder(folder, tensors, metadata, values)


def dequantized(
    where: str, codes_RW: Tensor, scales_RG: Tensor, offsets_RG: Tensor | None = None, zeros_RG: Tensor | None = None
) -> Tensor:
    """Return (code less zero point) times scale, and offset, in float32, [rows, width]; G groups of equal width in each row.

    Raises `ArtifactError`, beginning with `where`, for shapes that do not belong together.
    """
    rows, width = codes_RW.shape if codes_RW.ndim == 2 else (0, 0)
    groups = scales_RG.shape[1] if scales_RG.ndim == 2 else 0
    others = [part for part in (offsets_RG, zeros_RG) if part is not None]
    if not groups or width % groups or scales_RG.shape[0] != rows or any(part.shape != scales_RG.shape for part in others):
        shapes = ", ".join(str(tuple(part.shape)) for part in (codes_RW, scales_RG, *others))
        raise ArtifactError(f"{where}: integers, scales and offsets of shapes {shapes} do not belong together")
    dense_RGW = codes_RW.float().view(rows, groups, width // groups)
    if zeros_RG is not None:
        dense_RGW = dense_RGW - zeros_RG.float()[..., None]
    dense_RGW = dense_RGW * scales_RG.float()[..., None]
    if offsets_RG is not None:
        dense_RGW = dense_RGW + offsets_RG.float()[..., None]
    return dense_RGW.reshape(rows, width)
