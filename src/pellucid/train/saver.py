"""Which checkpoint a stage goes on from, and the saving of new ones."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import torch.distributed as dist

from pellucid.checkpoint.background import BackgroundWriter
from pellucid.checkpoint.files import checkpoint_step, load_checkpoint
from pellucid.checkpoint.memory import MemorySnapshots, Seat
from pellucid.checkpoint.models import check_architecture
from pellucid.checkpoint.part import Snapshot
from pellucid.checkpoint.retention import apply_retention, drop_after, latest_good
from pellucid.checkpoint.slots import ram_folder
from pellucid.core.errors import ArtifactError, StoppedError, TrainingError
from pellucid.recipe.computed import FREE_TO_CHANGE, what_is_computed
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.state import TrainState
from pellucid.train.world import World

__all__ = ["Saver"]


class Saver:
    """Keeps the checkpoints of one stage, written by all ranks together, and its snapshots in memory when the recipe wants them.

    All methods but `last_saved` are collective. Leaving it as a context lets a write that was begun come to its end; snapshots go
    when there is nothing left that they could be needed for.
    """

    def __init__(self, root: Path, stage: TrainStageConfig, model: ModelConfig, origin: dict[str, Any], world: World) -> None:
        self._root, self._stage, self._model, self._origin, self._world = root, stage, model, origin, world
        self._writer = BackgroundWriter(root, stage.checkpoint, _own_group(world))
        self._memory = self._snapshots() if stage.checkpoint.memory_every_steps else None
        self._path: Path | None = None
        self._step: int | None = None

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()
        if self._memory is not None:
            # These two come after a checkpoint, or make any newer state worthless, on every rank.
            self._memory.close(remove=error is None or isinstance(error, (StoppedError, TrainingError)))

    def newest(self) -> Path | Snapshot | None:
        """Return what to go on from, the newest good checkpoint or a snapshot in memory of a later step; None: there is neither.

        Checkpoints are the same on every rank, of a snapshot each has its own part.
        """
        self._path = self._world.tell(latest_good(self._root) if self._world.is_first else None)
        if self._memory is None:
            return self._path
        snapshot = self._memory.newest(after=(checkpoint_step(self._path) if self._path else None) or 0)
        if snapshot is None and self._path is None:
            self._memory.forget()
        return snapshot or self._path

    def before(self, step: int) -> Path | None:
        """Return the newest good checkpoint of at most `step`, dropping those after it; None, and all kept, when there is none."""
        self.last_saved()
        found: Path | None = self._world.tell(latest_good(self._root, step) if self._world.is_first else None)
        if found is not None and self._world.is_first:
            drop_after(self._root, found)
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
        self.last_saved()
        # Beside its place in the stage: whoever reads weights need not know what a stage is.
        meta = {"step": step, **self._origin, "stage": stage, "model": model, "adapter": stage["adapter"]}
        self._writer.write(step, state.state_dict(), meta=meta)
        self._step = step

    def snapshot(self, state: TrainState) -> None:
        """Begin to keep this step's state in memory when that is due, also right after going on: another copy may be missing."""
        step, every = state.progress.step, self._stage.checkpoint.memory_every_steps
        if self._memory is not None and step and step % every == 0:
            self._memory.write(step, state.state_dict())

    def restore(self, source: Path | Snapshot, state: TrainState) -> None:
        """Put what `newest` found into `state`; raise `ArtifactError` for another recipe's checkpoint.

        Snapshots of other steps are forgotten: the steps after this one are about to be made again.
        """
        if isinstance(source, Snapshot):
            state.load_state_dict(source.state(state.target))
        else:
            self._restore_checkpoint(source, state)
        if self._memory is not None:
            self._memory.forget(keep=source.step if isinstance(source, Snapshot) else None)

    def _restore_checkpoint(self, path: Path, state: TrainState) -> None:
        loaded, meta = load_checkpoint(path, verify=False, targets=state.target)
        check_architecture(path, meta, self._model)
        wanted = _flat({**self._origin, **self._stage.model_dump(mode="json")})
        found = _flat({**{name: meta.get(name) for name in self._origin}, **meta["stage"]})
        differing = [
            f"  {name}: the checkpoint has {found.get(name)}, now it is {wanted.get(name)}"
            for name in sorted(found.keys() | wanted.keys())
            if found.get(name) != wanted.get(name) and name.split(".")[0] not in FREE_TO_CHANGE and name != "adapter.init_from"
        ]
        if differing:
            raise ArtifactError(
                f"{path} was trained differently, so it cannot be continued\n" + "\n".join(differing) + "\n"
                "Restore these values, or train into another folder."
            )
        state.load_state_dict(loaded)
        self._path, self._step = path, state.progress.step

    def _snapshots(self) -> MemorySnapshots:
        stage, model = what_is_computed(self._stage), self._model.model_dump(mode="json")
        # Other than a checkpoint, a snapshot is cut as its ranks were.
        parallel = self._stage.parallel
        alike = parallel.shard == "none" and parallel.tensor_ways == 1
        trained = orjson.dumps(
            {**self._origin, "stage": stage, "model": model, "parallel": parallel.model_dump()}, option=orjson.OPT_SORT_KEYS
        )
        world, out = self._world, self._root.parent
        seat = Seat(world.rank, world.size, world.local_rank, world.local_size)
        identity = sha256(trained).hexdigest()
        return MemorySnapshots(ram_folder(out), out / "metrics.jsonl", identity, seat, _own_group(world), alike=alike)


def _own_group(world: World) -> dist.ProcessGroup | None:
    """What goes on beside training has collectives of its own, and needs a group for them."""
    return dist.new_group(backend="gloo") if world.size > 1 else None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names, so that a difference can be told field by field."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
