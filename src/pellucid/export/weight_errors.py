"""An export's weights read back from its files and compared with the checkpoint's, row by row."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pellucid.checkpoint.gguf_file import read_gguf_file
from pellucid.checkpoint.hf_folder import weight_files
from pellucid.core.errors import ArtifactError
from pellucid.core.safetensors import read_safetensors_header
from pellucid.model.hf_names import from_hf
from pellucid.recipe.model import ModelConfig

__all__ = ["read_exported_weights", "weight_errors"]

# A row far smaller than the others of its tensor (padding, a dead channel) is measured against this part of their typical norm.
_SMALLEST_ROW = 1e-2


def read_exported_weights(path: Path, config: ModelConfig) -> dict[str, Tensor]:
    """Return the weights of a GGUF file or of a Hugging Face folder, sharded or not, as float32 under our names.

    Raises `ArtifactError` where they are not of this shape or of a type that cannot be read back.
    """
    if path.is_file():
        return read_gguf_file(path)[1]
    if not path.is_dir():
        raise ArtifactError(f"{path} is no folder with weights")
    files = [path / name for name in weight_files(path)]
    for file in files:
        read_safetensors_header(file)
    try:
        return from_hf({name: tensor.float() for file in files for name, tensor in load_file(file).items()}, config)
    except SafetensorError as error:
        raise ArtifactError(f"{path} holds weights that cannot be read: {error}") from error


def weight_errors(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the largest relative error of a row (its first axis), and where it is; a vector is one row.

    JSON values: `tensors`, `largest_row_error`, `tensor`, `row`. A tensor that one side lacks, or of another shape, counts as an
    error without bound. A head that is the embedding may be written out on either side.
    """
    names = set(ours) ^ set(theirs)
    missing = sorted(name for name in names if not name.startswith("head."))
    missing += sorted(name for name in set(ours) & set(theirs) if ours[name].shape != theirs[name].shape)
    if missing:
        return {"tensors": len(ours), "largest_row_error": float("inf"), "tensor": missing[0], "row": 0}
    largest, where, at = 0.0, "", 0
    for name in sorted(set(ours) & set(theirs)):
        rows = _row_errors(ours[name].detach().float(), theirs[name].detach().float())
        row = int(rows.argmax())
        if float(rows[row]) > largest:
            largest, where, at = float(rows[row]), name, row
    return {"tensors": len(ours), "largest_row_error": largest, "tensor": where, "row": at}


def _row_errors(ours: Tensor, theirs: Tensor) -> Tensor:
    ours_RC = ours.reshape(ours.shape[0] if ours.ndim > 1 else 1, -1)
    theirs_RC = theirs.reshape(ours_RC.shape)
    norms_R = torch.linalg.vector_norm(ours_RC, dim=1)
    differences_R = torch.linalg.vector_norm(theirs_RC - ours_RC, dim=1)
    smallest = max(float(norms_R.median()) * _SMALLEST_ROW, 1e-12)
    # What is no number is an error without bound.
    errors_R: Tensor = (differences_R / norms_R.clamp_min(smallest)).nan_to_num(nan=math.inf, posinf=math.inf)
    return errors_R
