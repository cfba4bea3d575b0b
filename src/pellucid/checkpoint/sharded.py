"""Sections that several processes write and read together, through `torch.distributed.checkpoint` in the safetensors format."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor, distribute_tensor

from pellucid.core.errors import ArtifactError

__all__ = ["is_first", "read_shards", "say_to_all", "spread", "write_shards"]


def is_first(group: ProcessGroup | None) -> bool:
    """Whether this process is the one that writes what is written once."""
    return group is None or dist.get_rank(group) == 0


def say_to_all(group: ProcessGroup | None, action: Callable[[], None]) -> None:
    """Do something on the first rank only, while the others wait; raise on every rank what it raised there."""
    failure: list[Exception | None] = [None]
    if is_first(group):
        try:
            action()
        except Exception as error:
            failure[0] = error
    if group is not None:
        dist.broadcast_object_list(failure, group=group, group_src=0)
    if failure[0] is not None:
        raise failure[0]


def write_shards(folder: Path, named: Mapping[str, Tensor], group: ProcessGroup) -> None:
    """Write this rank's parts of the tensors into `folder`, durably; what all ranks hold alike is written by one of them.

    Every rank of `group` calls this. Raises `OSError` on every rank when one could not write.
    """
    try:
        save(
            {name: tensor.detach() for name, tensor in named.items()},
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
            process_group=group,
        )
    except CheckpointException as error:
        raise _cause(error) from error


def read_shards(
    folder: Path, target: Callable[[str, torch.Size, torch.dtype], Tensor], group: ProcessGroup | None
) -> dict[str, Tensor]:
    """Return the tensors of a section by name, read into what `target` returns for each: its own part of a DTensor only.

    Raises `ArtifactError` when a file cannot be read.
    """
    try:
        reader = HuggingFaceStorageReader(str(folder))
        kept = reader.read_metadata().state_dict_metadata
        named = {
            name: target(name, about.size, about.properties.dtype)
            for name, about in kept.items()
            if isinstance(about, TensorStorageMetadata)  # always, in this format
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # that is what no_dist asks for
            load(named, storage_reader=reader, process_group=group, no_dist=group is None)
    except CheckpointException as error:
        raise ArtifactError(f"{folder} cannot be read: {_cause(error)}") from error
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise ArtifactError(f"{folder} cannot be read: {error}") from error
    return named


def spread(whole: Tensor, target: Tensor) -> Tensor:
    """Copy a whole tensor, the same on every rank, into `target`, which may be a rank's part of it; return the target."""
    with torch.no_grad():
        if isinstance(target, DTensor):
            whole = distribute_tensor(whole.to(target.device), target.device_mesh, target.placements, src_data_rank=None)
        return target.copy_(whole)


def _cause(error: CheckpointException) -> Exception:
    """The first failure of any rank; torch's own exception is no `Exception`, and would pass for a signal."""
    failure = next(iter(error.failures.values()))[0]
    return failure if isinstance(failure, Exception) else RuntimeError(str(failure))
