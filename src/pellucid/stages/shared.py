"""What runs of a study have in common is made once: artifacts by their key, and the beginnings of training.

Files are linked, not copied, so that each run's folder is whole by itself and can be inspected, verified and deleted like any
other. What is appended to later is copied: two runs must not write into one file.
"""

import errno
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from pellucid.checkpoint.files import SCHEMA_VERSION, checkpoint_step
from pellucid.checkpoint.retention import faults_of, list_checkpoints
from pellucid.core.artifacts import KEY, MANIFEST, Key, built_from, is_current, read_manifest, seal, supersede
from pellucid.core.errors import ArtifactError
from pellucid.core.files import disk_full_is_explained, fsync_directory, sha256_file, write_bytes, write_json
from pellucid.core.ledger import Ledger
from pellucid.core.metrics import read_metrics
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.stage import Context, Stage
from pellucid.train.spikes import SkipList

__all__ = ["begin_with", "is_begun", "keep_shared", "take_shared"]

# What file systems without hard links say, and those where a file has as many as it can.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)
_LOGS = ("metrics.jsonl", "curves.jsonl", "samples.jsonl")


def take_shared(stage: Stage, context: Context, store: Path) -> bool:
    """Put the artifact that another run made under the same key into this run; return whether there was one, or it is there.

    The store is a folder of artifacts by kind and digest of their keys. Raises as `Stage.key` does.
    """
    path, key = context.run / stage.folder, stage.key(context)
    if is_current(path, key):
        return True
    kept = _place(stage, key, store)
    if not is_current(kept, key):
        return False
    if stage.in_place and path.exists():
        supersede(path)
    # The line comes first: one that was not followed by the folder is followed by another line.
    _tell(context.run, stage, kept)
    _link_folder(kept, path)
    return True


def keep_shared(stage: Stage, context: Context, store: Path) -> None:
    """Let runs with the same key have this run's artifact, which is whole. Several runs may do so at once."""
    key = stage.key(context)
    kept = _place(stage, key, store)
    if not is_current(kept, key):
        _link_folder(context.run / stage.folder, kept)


def is_begun(stage: Stage, context: Context) -> bool:
    """Tell whether what lies in a stage's folder was, or is being, built under the key that it has now."""
    path = context.run / stage.folder
    return path.exists() and _key_of(path) == stage.key(context).as_json()


def begin_with(stage: Stage, config: TrainStageConfig, context: Context, other: Path, most_steps: int) -> int:
    """Let a training stage begin at the newest checkpoint of at most `most_steps` that the run `other` kept; return its step.

    0, and nothing is done, when this run has begun by itself, or when the other has none or was trained on another order of data.
    The checkpoint's tensors are the other run's, its account of the stage is this one's: apart from length and schedule the two
    must agree, and up to that step the rates do.
    """
    path, key = context.run / stage.folder, stage.key(context)
    if is_begun(stage, context):
        return 0
    theirs = _key_of(other / stage.folder)
    if theirs is None or not _agree(theirs, key.as_json()):
        return 0
    there = {checkpoint_step(one) or 0: one for one in list_checkpoints(other / stage.folder / "checkpoints")}
    skips = SkipList(other / stage.folder)
    usable = [there[step] for step in skips.steps_to_begin_with(list(there), most_steps) if not faults_of(there[step])]
    if not usable:
        return 0
    part = path.with_name(f".{path.name}.beginning")
    shutil.rmtree(part, ignore_errors=True)
    (part / "checkpoints").mkdir(parents=True)
    for checkpoint in usable:
        _adopt(checkpoint, part / "checkpoints" / checkpoint.name, config)
    step = checkpoint_step(usable[-1]) or 0
    _copy_logs(other / stage.folder, part, step)
    if spikes := skips.until(step):
        SkipList(part, spikes).write()
    write_json(part / KEY, key.as_json())
    if path.exists():
        supersede(path)
    source = {"run": other.name, "step": step, "checkpoint": read_manifest(usable[-1]).sha256}
    Ledger(context.run).append("begun_with", stage=stage.name, folder=stage.folder, **source)
    part.rename(path)
    fsync_directory(path.parent)
    return step


def _place(stage: Stage, key: Key, store: Path) -> Path:
    digest = sha256(orjson.dumps(key.as_json(), option=orjson.OPT_SORT_KEYS)).hexdigest()
    return store / f"{stage.name}-{digest[:16]}"


def _tell(run: Path, stage: Stage, kept: Path) -> None:
    manifest = sha256_file(kept / MANIFEST)
    Ledger(run).append("shared", stage=stage.name, folder=stage.folder, manifest=manifest, artifact=kept.name)


def _key_of(folder: Path) -> dict[str, Any] | None:
    """Return the key under which a stage is being, or was, built."""
    try:
        return built_from(folder)
    except ArtifactError:
        return None


def _agree(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Tell whether two stages differ in length and schedule at most."""
    return _besides_length(theirs) == _besides_length(ours)


def _besides_length(key: Mapping[str, Any]) -> dict[str, Any]:
    config = dict(key["config"])
    stage = {name: value for name, value in config.pop("stage", {}).items() if name not in ("length_tokens", "schedule")}
    return {**key, "config": {**config, "stage": stage}}


def _adopt(checkpoint: Path, path: Path, config: TrainStageConfig) -> None:
    """Link a checkpoint's files, and write a manifest that says which stage it is a checkpoint of now."""
    manifest = read_manifest(checkpoint, "checkpoint")
    started = time.time()
    _link_files(checkpoint, path, without=frozenset({MANIFEST}))
    meta = {**manifest.config, "stage": config.model_dump(mode="json")}
    seal(path, Key("checkpoint", SCHEMA_VERSION, manifest.seed, meta), summary=manifest.summary, started=started)


def _copy_logs(folder: Path, part: Path, step: int) -> None:
    for name in _LOGS:
        if (folder / name).is_file():
            kept = [record for record in read_metrics(folder / name) if record["step"] <= step]
            write_bytes(part / name, b"".join(orjson.dumps(record) + b"\n" for record in kept))


def _link_folder(folder: Path, path: Path) -> None:
    """Put a folder of links to another's files at a path. When somebody else puts one there at the same time, one of them stays."""
    with disk_full_is_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.part")
        try:
            _link_files(folder, part)
            old = part.with_suffix(".old")
            if path.exists():
                path.rename(old)
            with suppress(FileExistsError, OSError):
                part.rename(path)
            fsync_directory(path.parent)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    if not path.exists():
        raise ArtifactError(f"{path} could not be put in place; give the same command again")


def _link_files(folder: Path, path: Path, without: frozenset[str] = frozenset()) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.rglob("*")):
        place = path / file.relative_to(folder)
        if file.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif str(file.relative_to(folder)) not in without:
            try:
                os.link(file, place)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                shutil.copy2(file, place)
