"""The uniform mean of checkpoints' weights, written as a checkpoint of its own that has a model and nothing to continue from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.models import check_architecture
from pellucid.core.artifacts import fingerprint, read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.recipe.model import ModelConfig

__all__ = ["average_checkpoints"]

_SECTION = "model.safetensors"


def average_checkpoints(paths: Sequence[Path], root: Path) -> Path:
    """Write the mean of the checkpoints' weights under `root`, named after the newest step, and return its folder.

    Every tensor is summed in float64 in the order of `paths` and rounded once to its own type; in memory are the mean and one
    tensor more, however many checkpoints there are. The bytes of `paths` are taken as verified (see `newest_good`). The meta is
    the newest checkpoint's, with `averaged`: the steps and each one's digest.
    Raises `ArtifactError` for less than two, for another architecture, and for weights that cannot be read.
    """
    if len(paths) < 2:
        raise ArtifactError(f"a mean needs at least 2 checkpoints, got {len(paths)}")
    metas = [read_manifest(path, kind="checkpoint").config for path in paths]
    step, newest = max((int(meta["step"]), index) for index, meta in enumerate(metas))
    for path, meta in zip(paths, metas, strict=True):
        check_architecture(path, meta, ModelConfig(**metas[newest]["model"]))
    averaged = {str(meta["step"]): fingerprint(path) for path, meta in zip(paths, metas, strict=True)}
    meta = {**metas[newest], "averaged": averaged}
    return save_checkpoint(root, step, {"model": dict(_means(paths))}, meta=meta)


def _means(paths: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    with ExitStack() as stack:
        opened = {path / _SECTION: stack.enter_context(_opened(path / _SECTION)) for path in paths}
        first, *others = opened
        names = set(opened[first].keys())
        for file in others:
            if differing := sorted(names ^ set(opened[file].keys())):
                raise ArtifactError(f"{first} and {file} hold different tensors, {differing[0]} for one")
        for name in sorted(names):
            yield name, _mean(name, opened)


def _mean(name: str, opened: Mapping[Path, Any]) -> Tensor:
    total: Tensor | None = None
    for file, section in opened.items():
        tensor: Tensor = section.get_tensor(name)
        if total is None:
            kind, total = tensor.dtype, torch.zeros(tensor.shape, dtype=torch.float64)
        if tensor.shape != total.shape:
            raise ArtifactError(f"{file}: {name} has shape {tuple(tensor.shape)}, in the others {tuple(total.shape)}")
        total += tensor
    assert total is not None
    return (total / len(opened)).to(kind)


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except FileNotFoundError as error:
        raise ArtifactError(f"{file} is missing") from error
    except SafetensorError as error:
        raise ArtifactError(f"{file} cannot be read: {error}") from error
