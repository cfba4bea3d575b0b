"""An export read back from its own files: the shape that they describe, and every weight with the number type it is stored in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pellucid.checkpoint.gguf_file import read_gguf_tensors
from pellucid.checkpoint.hf_folder import read_hf_tensors
from pellucid.core.errors import ArtifactError
from pellucid.recipe.model import ModelConfig

__all__ = ["ReadBack", "read_back", "shape_differences"]

# The formats have no word for these. Whether a head is tied, a GGUF file says only by leaving it out, which some may not.
_GGUF_SILENT, _HF_SILENT = ("norm_bias", "tied_head", "init_std"), ("norm_bias",)


@dataclass(frozen=True)
class ReadBack:
    """What lies in an export's files: nothing of it is taken from the checkpoint but what the format has no word for.

    `config` is the shape that they describe. `tensors` are float32 under our names, all that the files hold: also a tied head that
    is written out (`head.weight`) and biases of norms that are zeros. `types` is each tensor's number type in small letters, as
    `limits` names them.
    """

    config: ModelConfig
    tensors: dict[str, Tensor]
    types: dict[str, str]


def read_back(path: Path, config: ModelConfig) -> ReadBack:
    """Return what a GGUF file or a Hugging Face folder, sharded or not, holds; `config` is the checkpoint's.

    Fields of the shape for which the format has no word, or which it cannot tell from the checkpoint's (numbers rounded to
    float32), are the checkpoint's.

    Raises `MissingExtraError` without the package gguf, and `ArtifactError` naming file and field or tensor where they cannot be
    read back: damaged, of a type that cannot be turned into float32, or of a shape that the decoder does not compute.
    """
    if path.is_file():
        described, tensors, types = read_gguf_tensors(path)
        return ReadBack(told(described, config, _GGUF_SILENT), tensors, types)
    if not path.is_dir():
        raise ArtifactError(f"{path} is no folder with weights")
    described, tensors, types = read_hf_tensors(path)
    return ReadBack(told(described, config, _HF_SILENT), tensors, types)


def shape_differences(ours: ModelConfig, theirs: ModelConfig) -> list[dict[str, Any]]:
    """Return `field`, `checkpoint` and `export` of each field of the shape that is otherwise in the export: JSON values."""
    mine, other = ours.model_dump(mode="json"), theirs.model_dump(mode="json")
    return [{"field": name, "checkpoint": value, "export": other[name]} for name, value in mine.items() if other[name] != value]


def told(described: ModelConfig, config: ModelConfig, silent: tuple[str, ...]) -> ModelConfig:
    """Return what the files describe, with the checkpoint's value of each field that is in `silent` or not told apart from it."""
    taken: dict[str, Any] = {name: getattr(config, name) for name in silent}
    numbers = {name: value for name, value in config.model_dump().items() if isinstance(value, float)}
    taken |= {name: value for name, value in numbers.items() if np.float32(value) == np.float32(getattr(described, name))}
    # A file counts channels; more than one share of them may make the same count.
    if described.rotary_channels == config.rotary_channels and described.head_channels == config.head_channels:
        taken["rotary_frac"] = config.rotary_frac
    return described.model_copy(update=taken)
