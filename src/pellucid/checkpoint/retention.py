"""Which checkpoint to continue from, and which ones may go."""

import shutil
import warnings
from pathlib import Path

from pellucid.checkpoint.files import checkpoint_step
from pellucid.core.artifacts import find_faults
from pellucid.core.errors import ArtifactError, PellucidWarning
from pellucid.core.files import fsync_directory
from pellucid.recipe.training import CheckpointConfig

__all__ = ["apply_retention", "drop_after", "faults_of", "latest_good", "list_checkpoints", "newest_good"]


def list_checkpoints(root: Path) -> list[Path]:
    """Return the checkpoint folders under `root` by step, oldest first, whole or not."""
    found = [(step, path) for path in root.glob("step-*") if (step := checkpoint_step(path)) is not None]
    return [path for _, path in sorted(found)]


def latest_good(root: Path, at_most: int | None = None) -> Path | None:
    """Return the newest checkpoint (of at most this step) whose every byte agrees with its manifest; None when there is none.

    A damaged one is passed over with a `PellucidWarning` that names the file.
    """
    return next(iter(newest_good(root, 1, at_most)), None)


def newest_good(root: Path, count: int, at_most: int | None = None) -> list[Path]:
    """Return the `count` newest checkpoints that are good as `latest_good` says, the newest first; fewer where there are fewer."""
    good: list[Path] = []
    for path in reversed(list_checkpoints(root)):
        if len(good) == count:
            break
        if at_most is not None and (checkpoint_step(path) or 0) > at_most:
            continue
        faults = faults_of(path, digests=True)
        if not faults:
            good.append(path)
        else:
            warnings.warn(f"{path} is damaged and passed over: {'; '.join(faults)}", PellucidWarning, stacklevel=2)
    return good


def apply_retention(root: Path, config: CheckpointConfig) -> list[Path]:
    """Drop the checkpoints that the rule does not keep, oldest first, and return their paths.

    Kept are the newest `keep_last` good ones and those at multiples of `keep_every_steps`. Damaged ones count for nothing. The
    newest good one is read in full first (the others are judged by their sizes): when none holds, nothing is dropped.
    """
    good: list[Path] = []
    surplus: list[Path] = []
    for path in reversed(list_checkpoints(root)):
        if len(good) == config.keep_last:
            surplus.append(path)
        elif not faults_of(path, digests=not good):
            good.append(path)
    dropped = []
    for path in reversed(surplus):
        step = checkpoint_step(path)
        if step is not None and config.keep_every_steps and step % config.keep_every_steps == 0:
            continue
        _drop(path)
        dropped.append(path)
    for left in root.glob(".step-*"):  # of saves and drops that a kill cut short
        shutil.rmtree(left, ignore_errors=True)
    if dropped:
        fsync_directory(root)
    return dropped


def drop_after(root: Path, kept: Path) -> None:
    """Drop the checkpoints that are newer than `kept`, the newest first."""
    paths = list_checkpoints(root)
    for path in reversed(paths[paths.index(kept) + 1 :]):
        _drop(path)
    fsync_directory(root)


def _drop(path: Path) -> None:
    # Under a hidden name first: a kill half-way must not leave something that looks like a damaged checkpoint.
    hidden = path.with_name(f".{path.name}.dropped")
    path.rename(hidden)
    shutil.rmtree(hidden)


def faults_of(path: Path, *, digests: bool = True) -> list[str]:
    """Return what keeps a checkpoint from being good, one line each; without `digests` files are judged by their sizes."""
    try:
        return find_faults(path, digests=digests)
    except ArtifactError as error:
        return [str(error)]
