"""Checkpoints written beside training: a step waits for a copy in memory, not for the disk."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.retention import apply_retention
from pellucid.checkpoint.sharded import is_first
from pellucid.recipe.training import CheckpointConfig

__all__ = ["BackgroundWriter"]


class BackgroundWriter:
    """Writes one checkpoint at a time in a thread, and applies the retention rule after each.

    With `group`, which nothing else may use, every rank has one and calls the same methods in the same order. What a write raised
    comes out of the next `write` or `wait`, on every rank.
    """

    def __init__(self, root: Path, config: CheckpointConfig, group: ProcessGroup | None = None) -> None:
        self._root, self._config, self._group = root, config, group
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        # The copy's memory is kept from one save to the next; page-locked, a GPU fills it at full speed.
        self._stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=torch.cuda.is_available(),
                use_shared_memory=False,
                use_async_staging=False,
                use_non_blocking_copy=False,
            )
        )
        self._pending: Future[Path] | None = None

    def write(self, step: int, state: Mapping[str, Any], *, meta: Mapping[str, Any]) -> None:
        """Copy `state` as it is now, and begin to write it as the checkpoint of `step` (see `save_checkpoint`)."""
        self.wait()
        copy = self._stager.stage(dict(state))
        assert not isinstance(copy, Future)
        self._pending = self._thread.submit(self._write, step, copy, dict(meta))

    def wait(self) -> Path | None:
        """Wait until what was begun is durable and return its folder; None when nothing was begun since the last call."""
        pending, self._pending = self._pending, None
        return pending.result() if pending is not None else None

    def close(self) -> None:
        """Let a write that was begun come to its end."""
        self._thread.shutdown()
        self._stager.close()

    def _write(self, step: int, state: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
        path = save_checkpoint(self._root, step, state, meta=meta, group=self._group)
        if is_first(self._group):
            apply_retention(self._root, self._config)
        return path
