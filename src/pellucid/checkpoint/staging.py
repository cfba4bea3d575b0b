"""A copy of training state in the host's memory, so that a step waits for nothing slower."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import torch
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

__all__ = ["HostCopy"]


class HostCopy:
    """One copy at a time: its memory is kept from one to the next. Page-locked, a GPU fills it at full speed."""

    def __init__(self) -> None:
        self._stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=torch.cuda.is_available(),
                use_shared_memory=False,
                use_async_staging=False,
                use_non_blocking_copy=False,
            )
        )

    def take(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return `state` as it is now, tensors on the CPU; good until the next call."""
        copy = self._stager.stage(dict(state))
        assert not isinstance(copy, Future)
        return copy

    def close(self) -> None:
        """Give the memory back."""
        self._stager.close()
