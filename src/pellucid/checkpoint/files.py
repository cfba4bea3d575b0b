"""One checkpoint as a folder: `step-00000123/` with its tensors by section, `state.json`, and `manifest.json` last.

One process writes a section as one safetensors file, `model.safetensors`. Several write it together through
`torch.distributed.checkpoint` as a folder of safetensors files, `model/`, each with a part of the tensors; no part is a pickle.
Either is read by any number of processes. Every file's sha256 is in the manifest, because safetensors loads a flipped byte without
a word. A save happens in a new hidden folder that gets its name only when everything in it is on the disk: a kill or a full disk
leaves the older checkpoints as they are.
"""

import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed import ProcessGroup

from pellucid.checkpoint.sharded import is_first, read_shards, say_to_all, spread, write_shards
from pellucid.core.artifacts import Key, find_faults, read_manifest, replace_folder, seal
from pellucid.core.errors import ArtifactError, DiskFullError
from pellucid.core.files import disk_full_is_explained, read_json, write_json
from pellucid.core.safetensors import read_safetensors_header

__all__ = [
    "SCHEMA_VERSION",
    "Targets",
    "checkpoint_step",
    "load_checkpoint",
    "place_tensor",
    "read_section",
    "save_checkpoint",
    "split_state",
]

Targets = Callable[[str, str, torch.Size, torch.dtype], Tensor]
"""Returns the tensor to read into, given section, name (slash-joined), shape and type: a DTensor to read a rank's own part only."""

SCHEMA_VERSION = 1
_STATE = "state.json"
_NAME = re.compile(r"step-(\d{8,})")


def checkpoint_step(path: Path) -> int | None:
    """Return the step that a folder's name stands for; None when it is no checkpoint's name."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def save_checkpoint(
    root: Path, step: int, state: Mapping[str, Any], *, meta: Mapping[str, Any], group: ProcessGroup | None = None
) -> Path:
    """Write `root/step-N/` and return its path once it is durable.

    `state` is nested dicts with string keys; its leaves are tensors or JSON values. Tensors below a top-level key are that
    section's, everything else goes to `state.json`. `meta` (JSON values) is kept in the manifest as its config. With `group`, whose
    collectives take tensors on the CPU, every rank of it calls this with its own parts of the tensors, and waits for all others.
    Raises `DiskFullError` when there is no room, on every rank; nothing that was there before is touched.
    """
    path = root / f"step-{step:08d}"
    part = root / f".{path.name}.part"
    started, since = time.time(), time.monotonic()
    tensors, plain = split_state(state)

    def prepare() -> None:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)

    def finish() -> None:
        write_json(part / _STATE, plain)
        key = Key("checkpoint", SCHEMA_VERSION, int(meta.get("seed", 0)), dict(meta))
        seal(part, key, summary={"step": step}, started=started, seconds=time.monotonic() - since)
        replace_folder(part, path)

    try:
        with disk_full_is_explained(path):
            say_to_all(group, prepare)
            for section, named in tensors.items():
                if group is None:
                    _write_tensors(part / f"{section}.safetensors", named)
                else:
                    write_shards(part / section, named, group)
            say_to_all(group, finish)
    except BaseException:
        if is_first(group):
            shutil.rmtree(part, ignore_errors=True)
        raise
    return path


def load_checkpoint(
    path: Path, *, verify: bool = True, targets: Targets | None = None, group: ProcessGroup | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state and the meta of one checkpoint. Tensors are whole and on the CPU, or what `targets` gives for each.

    With `group` every rank of it calls this at the same time. With `verify` every byte is compared with the manifest first; raises
    `ArtifactError` naming each file that is missing, cut short or altered.
    """
    meta = _read_meta(path, verify=verify)
    state: dict[str, Any] = read_json(path / _STATE)
    for section in _sections(path):
        for name, tensor in _read_section(path, section, targets, group).items():
            place_tensor(state, [section, *name.split("/")], tensor)
    return state, meta


def read_section(path: Path, section: str, *, verify: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of one section ("model", for example) by their names, and the checkpoint's meta."""
    meta = _read_meta(path, verify=verify)
    return _read_section(path, section, None, None), meta


def _read_meta(path: Path, *, verify: bool) -> dict[str, Any]:
    manifest = read_manifest(path, kind="checkpoint")
    if manifest.schema_version != SCHEMA_VERSION:
        raise ArtifactError(f"{path} has checkpoint format {manifest.schema_version}; this version reads {SCHEMA_VERSION}")
    faults = find_faults(path) if verify else []
    if faults:
        raise ArtifactError("the checkpoint is damaged:\n  " + "\n  ".join(faults))
    return manifest.config


def _sections(path: Path) -> list[str]:
    """The names of a checkpoint's sections, whether they are files or folders of shards."""
    return sorted(file.stem for file in path.iterdir() if file.suffix == ".safetensors" or file.is_dir())


def _read_section(path: Path, section: str, targets: Targets | None, group: ProcessGroup | None) -> dict[str, Tensor]:
    def target(name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype) if targets is None else targets(section, name, shape, dtype)

    if (path / section).is_dir():
        for file in sorted((path / section).glob("*.safetensors")):
            read_safetensors_header(file)
        return read_shards(path / section, target, group)
    tensors = _read_tensors(path / f"{section}.safetensors")
    if targets is None:
        return tensors
    return {name: spread(whole, target(name, whole.shape, whole.dtype)) for name, whole in tensors.items()}


def split_state(state: Mapping[str, Any]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Return a nested state's tensors by section and by slash-joined name, and its plain values in their places."""
    tensors: dict[str, dict[str, Tensor]] = {}

    def walk(value: Any, trail: tuple[str, ...]) -> Any:
        if isinstance(value, Tensor):
            assert len(trail) > 1, f"the tensor {trail[0]!r} is in no section"
            tensors.setdefault(trail[0], {})["/".join(trail[1:])] = value
            return None
        if not isinstance(value, Mapping):
            return value
        kept = {}
        for key, child in value.items():
            assert isinstance(key, str) and "/" not in key, f"state key {key!r} is not a plain string"
            plain = walk(child, (*trail, key))
            if plain is not None and (plain or not isinstance(child, Mapping)):
                kept[key] = plain
        return kept

    return tensors, walk(state, ())


def place_tensor(state: dict[str, Any], trail: list[str], tensor: Tensor) -> None:
    """Put a tensor into a nested state: the inverse of `split_state`. `trail` is its section and the parts of its name."""
    for key in trail[:-1]:
        state = state.setdefault(key, {})
    state[trail[-1]] = tensor


def _write_tensors(file: Path, named: Mapping[str, Tensor]) -> None:
    # safetensors refuses two names for one memory, and views; copies are made only of those.
    seen: set[int] = set()
    plain = {}
    for name, tensor in named.items():
        tensor = tensor.detach().to("cpu").contiguous()
        whole = tensor.untyped_storage().nbytes() == tensor.nbytes
        plain[name] = tensor if whole and tensor.data_ptr() not in seen else tensor.clone()
        seen.add(tensor.data_ptr())
    try:
        save_file(plain, file)
    except SafetensorError as error:
        # The writer wraps the system's error into text; its number is the only trace of the cause.
        if re.search(r"os error (28|122)\b", str(error)):
            raise DiskFullError(
                f"no room left while writing {file}; nothing finished before is lost. "
                "Free space (or choose another folder with --runs DIR) and give the same command again."
            ) from error
        raise


def _read_tensors(file: Path) -> dict[str, Tensor]:
    read_safetensors_header(file)
    try:
        with safe_open(file, framework="pt") as opened:
            # clone: a tensor that stays mapped would change, or crash, when its file does.
            return {name: torch.clone(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ArtifactError(f"{file} cannot be read: {error}") from error
