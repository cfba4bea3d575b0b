"""A copy of training state in the host's memory, so that a step waits for nothing slower."""

from collections.abc import Mapping
from typing import Any, cast

import torch

# What DefaultStager is made of, and not public itself: in torch 2.11 that one throws the memory away after its first copy, and
# fails at the second.
from torch.distributed.checkpoint._state_dict_stager import StateDictStager

__all__ = ["HostCopy"]


class HostCopy:
    """One copy at a time: its memory is kept from one to the next. Page-locked, a GPU fills it at full speed."""

    def __init__(self) -> None:
        self._stager = StateDictStager(pin_memory=torch.cuda.is_available())

    def take(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return `state` as it is now, tensors on the CPU; good until the next call."""
        return cast(dict[str, Any], self._stager.stage(dict(state)))

    def close(self) -> None:
        """Give the memory back."""
        self._stager.close()  # type: ignore[no-untyped-call]
