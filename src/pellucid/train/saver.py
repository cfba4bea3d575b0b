"""Which checkpoint a stage goes on from, and the saving of new ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist

from pellucid.checkpoint.background import BackgroundWriter
from pellucid.checkpoint.files import load_checkpoint
from pellucid.checkpoint.models import check_architecture
from pellucid.checkpoint.retention import apply_retention, latest_good
from pellucid.core.errors import ArtifactError
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.state import TrainState
from pellucid.train.world import World

__all__ = ["FREE_TO_CHANGE", "Saver"]

FREE_TO_CHANGE = frozenset({"activation_checkpointing", "checkpoint", "init_from", "max_bad_steps", "parallel", "samples"})
"""Fields of a stage that may change before it is continued: they decide what is kept, shown and dealt out, not what is computed.

`init_from` names a place; whoever knows the weights in it knows them by their digest.
"""


class Saver:
    """Keeps the checkpoints of one stage, written by all ranks together. All methods but `last_saved` are collective."""

    def __init__(self, root: Path, stage: TrainStageConfig, model: ModelConfig, origin: dict[str, Any], world: World) -> None:
        self._root, self._stage, self._model, self._origin, self._world = root, stage, model, origin, world
        # Saving goes on beside training, so its collectives need a group of their own.
        group = dist.new_group(backend="gloo") if world.size > 1 else None
        self._writer = BackgroundWriter(root, stage.checkpoint, group)
        self._path: Path | None = None
        self._step: int | None = None

    def newest(self) -> Path | None:
        """Return the newest good checkpoint, the same on every rank; None when there is none."""
        found: Path | None = self._world.tell(latest_good(self._root) if self._world.is_first else None)
        return found

    def last_saved(self) -> str:
        """Wait until what was last saved is durable and return its folder."""
        self._path = self._writer.wait() or self._path
        return str(self._path) if self._path else "none: no checkpoint was written yet"

    def save(self, state: TrainState) -> None:
        """Begin to write a checkpoint of this step unless there is one; then what the retention rule does not keep is dropped."""
        step = state.progress.step
        if step == self._step:
            if step == self._stage.total_steps and self._world.is_first:
                # A kill may have come between the last checkpoint and this, and no further one will make up for it.
                apply_retention(self._root, self._stage.checkpoint)
            return
        stage, model = self._stage.model_dump(mode="json"), self._model.model_dump(mode="json")
        self._path = self._writer.wait() or self._path
        self._writer.write(step, state.state_dict(), meta={"step": step, **self._origin, "stage": stage, "model": model})
        self._step = step

    def restore(self, path: Path, state: TrainState) -> None:
        """Put a checkpoint, on whose soundness `newest` insists, into `state`; raise `ArtifactError` for another recipe's."""
        loaded, meta = load_checkpoint(path, verify=False, targets=state.target)
        check_architecture(path, meta, self._model)
        wanted = _flat({**self._origin, **self._stage.model_dump(mode="json")})
        found = _flat({**{name: meta.get(name) for name in self._origin}, **meta["stage"]})
        differing = [
            f"  {name}: the checkpoint has {found.get(name)}, now it is {wanted.get(name)}"
            for name in sorted(found.keys() | wanted.keys())
            if found.get(name) != wanted.get(name) and name.split(".")[0] not in FREE_TO_CHANGE
        ]
        if differing:
            raise ArtifactError(
                f"{path} was trained differently, so it cannot be continued\n" + "\n".join(differing) + "\n"
                "Restore these values, or train into another folder."
            )
        state.load_state_dict(loaded)
        self._path, self._step = path, state.progress.step

    def close(self) -> None:
        """Let a write that was begun come to its end."""
        self._writer.close()


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names, so that a difference can be told field by field."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
