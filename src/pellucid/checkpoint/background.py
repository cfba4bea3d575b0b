"""Checkpoints written beside training: a step waits for a copy in memory, not for the disk."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch.distributed import ProcessGroup

from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.retention import apply_retention
from pellucid.checkpoint.sharded import is_first
from pellucid.checkpoint.staging import HostCopy
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
        self._copy = HostCopy()
        self._pending: Future[Path] | None = None

    def write(self, step: int, state: Mapping[str, Any], *, meta: Mapping[str, Any]) -> None:
        """Copy `state` as it is now, and begin to write it as the checkpoint of `step` (see `save_checkpoint`)."""
        self.wait()
        self._pending = self._thread.submit(self._write, step, self._copy.take(state), dict(meta))

    def wait(self) -> Path | None:
        """Wait until what was begun is durable and return its folder; None when nothing was begun since the last call."""
        pending, self._pending = self._pending, None
        return pending.result() if pending is not None else None

    def close(self) -> None:
        """Let a write that was begun come to its end."""
        self._thread.shutdown()
        self._copy.close()

    def _write(self, step: int, state: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
        path = save_checkpoint(self._root, step, state, meta=meta, group=self._group)
        if is_first(self._group):
            apply_retention(self._root, self._config)
        return path
