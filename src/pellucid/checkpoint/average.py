"""The uniform mean of checkpoints' weights, written as a checkpoint of its own that has a model and nothing to continue from."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.models import check_architecture, read_weights
from pellucid.core.artifacts import fingerprint, read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.recipe.model import ModelConfig

__all__ = ["average_checkpoints"]


def average_checkpoints(paths: Sequence[Path], root: Path) -> Path:
    """Write the mean of the checkpoints' weights under `root`, named after the newest step, and return its folder.

    Every tensor is summed in float64 in the order of `paths` and rounded once to its own type; in memory are the sums and one
    checkpoint's weights, however many there are. The bytes of `paths` are taken as verified (see `newest_good`). The meta is
    the newest checkpoint's, with `averaged`: the steps and each one's digest. Adapters are merged first, so the mean has none.
    Raises `ArtifactError` for less than two, for another architecture, and for weights that cannot be read.
    """
    if len(paths) < 2:
        raise ArtifactError(f"a mean needs at least 2 checkpoints, got {len(paths)}")
    metas = [read_manifest(path, kind="checkpoint").config for path in paths]
    step, newest = max((int(meta["step"]), index) for index, meta in enumerate(metas))
    for path, meta in zip(paths, metas, strict=True):
        check_architecture(path, meta, ModelConfig(**metas[newest]["model"]))
    averaged = {str(meta["step"]): fingerprint(path) for path, meta in zip(paths, metas, strict=True)}
    meta = {**metas[newest], "adapter": None, "averaged": averaged}
    return save_checkpoint(root, step, {"model": _means(paths)}, meta=meta)


def _means(paths: Sequence[Path]) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    kinds: dict[str, torch.dtype] = {}
    for path in paths:
        weights, _ = read_weights(path, verify=False)
        kinds = kinds or {name: tensor.dtype for name, tensor in weights.items()}
        sums = sums or {name: torch.zeros(tensor.shape, dtype=torch.float64) for name, tensor in weights.items()}
        if differing := sorted(sums.keys() ^ weights.keys()):
            raise ArtifactError(f"{paths[0]} and {path} hold different tensors, {differing[0]} for one")
        for name, total in sums.items():
            tensor = weights.pop(name)
            if tensor.shape != total.shape:
                raise ArtifactError(f"{path}: {name} has shape {tuple(tensor.shape)}, in the others {tuple(total.shape)}")
            total += tensor
    return {name: (total / len(paths)).to(kinds[name]) for name, total in sums.items()}
