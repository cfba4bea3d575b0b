"""A folder with torchao's integers, as transformers saves it → `ReadBack`.

transformers takes torchao's tensors apart: the parts are plain tensors of the safetensors files, and what they make up is told in
the files' metadata, as JSON. So nothing pickled is opened, and no class is built by a name that a file gives.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError
from pellucid.export.read_back import ReadBack
from pellucid.export.read_back_folder import dequantized, open_stored
from pellucid.recipe.model import ModelConfig

__all__ = ["read_back_torchao"]

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)
_CODES = "._weight_qdata"
_ACTIVATIONS = ("act_quant_kwargs", "activation_quantization")


def read_back_torchao(path: Path, config: ModelConfig) -> ReadBack:
    """Return the weights by torchao's formula: (code less zero point) times scale, group by group. `config` is the checkpoint's.

    Neither torchao nor transformers is needed. Raises `ArtifactError` where the files are not what they would read as this model,
    and for tensors of torchao that round activations too.
    """
    stored = open_stored(path)
    dense: dict[str, Tensor] = {}
    types: dict[str, str] = {}
    for module in [name.removesuffix(_CODES) for name in stored.tensors if name.endswith(_CODES)]:
        name = f"{module}.weight"
        where = f"{path}: {name}"
        types[name], block = _told(where, stored.metadata.get(name))
        codes_RW = stored.take(f"{module}{_CODES}", torch.int8)
        scales_RG = stored.take(f"{module}._weight_scale", *_FLOATS)
        zeros_RG = stored.take(f"{module}._weight_zero_point", torch.int8)
        dense[name] = dequantized(where, codes_RW, scales_RG, zeros_RG=zeros_RG)
        if block != [1, codes_RW.shape[1] // scales_RG.shape[1]]:
            raise ArtifactError(
                f"{where}: block_size: got {block!r:.60} for {scales_RG.shape[1]} scales of {codes_RW.shape[1]} weights"
            )
    return stored.finish(dense, types, config, "quantization_config")


def _told(where: str, told: str | None) -> tuple[str, Any]:
    """Return number type and block of a tensor by the metadata of its file."""
    try:
        values = json.loads(told or "null")
        kind, data = values["_type"], values["_data"]
        wanted = {"Int8Tensor": "int8", "IntxUnpackedToInt8Tensor": "int4"}[kind]
        if wanted == "int4" and data["target_dtype"]["_data"] != wanted:
            raise ArtifactError(f"{where}: target_dtype: got {data['target_dtype']!r:.60}; int4 is expected")
        if any(data.get(name) is not None for name in _ACTIVATIONS):
            raise ArtifactError(f"{where}: activations are rounded too; only weights are expected to be")
        return wanted, data["block_size"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{where}: the file does not say what its integers stand for: {told!r:.80}") from error
