"""Weights as safetensors the way transformers reads them: one file, or several with an index of which tensor lies where."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pellucid.core.files import fsync_file, write_json
from pellucid.core.progress import progress

__all__ = ["INDEX", "SHARD_BYTES", "WEIGHTS", "save_shards"]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000
"""Where the hub's own tools cut: a file of this size is downloaded again in bearable time when a transfer breaks off."""


def save_shards(tensors: Mapping[str, Tensor], dtype: torch.dtype, folder: Path, limit_bytes: int) -> list[str]:
    """Write the tensors as `dtype` and return the names of the files; weights that lay in the folder before are replaced.

    In order, each file as full as `limit_bytes` allows (a larger tensor has a file to itself); a single file has transformers'
    plain name and no index. One file's tensors at a time are in memory beside `tensors`.
    """
    shards = list(_cut(tensors, dtype.itemsize, limit_bytes))
    names = [f"model-{place:05}-of-{len(shards):05}.safetensors" for place in range(1, len(shards) + 1)]
    if len(shards) == 1:
        names = [WEIGHTS]
    for old in [folder / WEIGHTS, folder / INDEX, *folder.glob("model-?????-of-?????.safetensors")]:
        old.unlink(missing_ok=True)
    total = sum(tensor.numel() for tensor in tensors.values()) * dtype.itemsize
    with progress("safetensors", total, "bytes") as bar:
        for name, shard in zip(names, shards, strict=True):
            bar.note(name)
            cast = {theirs: tensors[theirs].detach().to("cpu", dtype).contiguous() for theirs in shard}
            save_file(cast, folder / name, metadata={"format": "pt"})
            fsync_file(folder / name)
            bar.advance(sum(tensor.nbytes for tensor in cast.values()))
    if len(shards) > 1:
        places = {theirs: name for name, shard in zip(names, shards, strict=True) for theirs in shard}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
    return names


def _cut(tensors: Mapping[str, Tensor], item_bytes: int, limit_bytes: int) -> Iterator[list[str]]:
    """Yield the names of each file's tensors."""
    shard: list[str] = []
    used = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * item_bytes
        if shard and used + size > limit_bytes:
            yield shard
            shard, used = [], 0
        shard.append(name)
        used += size
    yield shard
