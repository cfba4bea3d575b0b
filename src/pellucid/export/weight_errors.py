"""An export's weights compared with the checkpoint's, row by row, each tensor by what its own number type may round."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.export.limits import LIMITS, limits_of
from pellucid.export.read_back import ReadBack

__all__ = ["weight_errors"]

# A row far smaller than the others of its tensor (padding, a dead channel) is measured against this part of their typical norm.
_SMALLEST_ROW = 1e-2
_EMBEDDING, _HEAD, _NORM_BIAS = "embedding.weight", "head.weight", "norm.bias"


def weight_errors(ours: Mapping[str, Tensor], found: ReadBack, number_type: str) -> dict[str, Any]:
    """Return the relative error of the row (of a tensor's first axis; a vector is one row) that is worst by its tensor's limit.

    JSON values: `tensors`, how many are compared; `largest_row_error`, with the `tensor`, the `row`, the tensor's stored `type`,
    and the `limit` for it: that of its type, and never more than that of the export's `number_type`. A tensor that one side lacks,
    or of another shape, counts as an error without bound, with `type` None. But a tied head that is written out is compared with
    the embedding, and a norm's bias that one side lacks counts as zeros: both compute the same.

    Raises `UsageError` for an export of a number type without limits.
    """
    widest = limits_of(number_type).row_error
    pairs, unlike = _pairs(ours, found.tensors)
    if unlike:
        return {"tensors": len(pairs), "largest_row_error": math.inf, "tensor": unlike[0], "row": 0, "type": None, "limit": widest}
    worst: dict[str, Any] = {}
    largest = -1.0
    for name, (mine, theirs) in pairs.items():
        kind = found.types.get(name, number_type.lower())
        limit = min(widest, LIMITS[kind].row_error) if kind in LIMITS else widest
        errors_R = _row_errors(mine.detach().float(), theirs.detach().float())
        row = int(errors_R.argmax())
        error = float(errors_R[row])
        if error / limit > largest:
            largest = error / limit
            worst = {"largest_row_error": error, "tensor": name, "row": row, "type": kind, "limit": limit}
    return {"tensors": len(pairs), **worst}


def _pairs(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> tuple[dict[str, tuple[Tensor, Tensor]], list[str]]:
    """Return what is compared with what, and the names of tensors that have nothing to be compared with."""
    mine, other = dict(ours), dict(theirs)
    if _HEAD in other and _EMBEDDING in mine:
        mine.setdefault(_HEAD, mine[_EMBEDDING])
    for name in mine.keys() ^ other.keys():
        if name.endswith(_NORM_BIAS):
            zeros = torch.zeros_like(mine[name] if name in mine else other[name])
            mine.setdefault(name, zeros)
            other.setdefault(name, zeros)
    both = sorted(mine.keys() & other.keys())
    unlike = sorted(mine.keys() ^ other.keys()) + [name for name in both if mine[name].shape != other[name].shape]
    return {name: (mine[name], other[name]) for name in both}, unlike


def _row_errors(ours: Tensor, theirs: Tensor) -> Tensor:
    ours_RC = ours.reshape(ours.shape[0] if ours.ndim > 1 else 1, -1)
    theirs_RC = theirs.reshape(ours_RC.shape)
    norms_R = torch.linalg.vector_norm(ours_RC, dim=1)
    differences_R = torch.linalg.vector_norm(theirs_RC - ours_RC, dim=1)
    smallest = max(float(norms_R.median()) * _SMALLEST_ROW, 1e-12)
    # What is no number is an error without bound.
    errors_R: Tensor = (differences_R / norms_R.clamp_min(smallest)).nan_to_num(nan=math.inf, posinf=math.inf)
    return errors_R
