"""One checkpoint as a folder: `step-00000123/` with one safetensors file per section, `state.json`, and `manifest.json` last.

Every file's sha256 is in the manifest, because safetensors loads a flipped byte without a word. A save happens in a new hidden
folder that gets its name only when everything in it is on the disk: a kill or a full disk leaves the older checkpoints as they are.
"""

import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pellucid.core.artifacts import Key, find_faults, read_manifest, replace_folder, seal
from pellucid.core.errors import ArtifactError, DiskFullError
from pellucid.core.files import disk_full_is_explained, read_json, write_json

__all__ = ["SCHEMA_VERSION", "checkpoint_step", "load_checkpoint", "read_section", "save_checkpoint"]

SCHEMA_VERSION = 1
_STATE = "state.json"
_NAME = re.compile(r"step-(\d{8,})")


def checkpoint_step(path: Path) -> int | None:
    """Return the step that a folder's name stands for; None when it is no checkpoint's name."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def save_checkpoint(root: Path, step: int, state: Mapping[str, Any], *, meta: Mapping[str, Any]) -> Path:
    """Write `root/step-N/` and return its path once it is durable.

    `state` is nested dicts with string keys; its leaves are tensors or JSON values. Tensors below a top-level key go to
    `KEY.safetensors`, everything else to `state.json`. `meta` (JSON values) is kept in the manifest as its config.
    Raises `DiskFullError` when there is no room; nothing that was there before is touched.
    """
    path = root / f"step-{step:08d}"
    part = root / f".{path.name}.part"
    started = time.time()
    try:
        with disk_full_is_explained(path):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            tensors, plain = _split(state)
            for section, named in tensors.items():
                _write_tensors(part / f"{section}.safetensors", named)
            write_json(part / _STATE, plain)
            key = Key("checkpoint", SCHEMA_VERSION, int(meta.get("seed", 0)), dict(meta))
            seal(part, key, summary={"step": step}, started=started)
            replace_folder(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return path


def load_checkpoint(path: Path, *, verify: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state (tensors on the CPU) and the meta of one checkpoint.

    With `verify` every byte is compared with the manifest first; raises `ArtifactError` naming each file that is missing, cut short
    or altered.
    """
    meta = _read_meta(path, verify=verify)
    state: dict[str, Any] = read_json(path / _STATE)
    for file in sorted(path.glob("*.safetensors")):
        for name, tensor in _read_tensors(file).items():
            _place(state, [file.stem, *name.split("/")], tensor)
    return state, meta


def read_section(path: Path, section: str, *, verify: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of one section ("model", for example) by their names, and the checkpoint's meta."""
    meta = _read_meta(path, verify=verify)
    return _read_tensors(path / f"{section}.safetensors"), meta


def _read_meta(path: Path, *, verify: bool) -> dict[str, Any]:
    manifest = read_manifest(path, kind="checkpoint")
    if manifest.schema_version != SCHEMA_VERSION:
        raise ArtifactError(f"{path} has checkpoint format {manifest.schema_version}; this version reads {SCHEMA_VERSION}")
    faults = find_faults(path) if verify else []
    if faults:
        raise ArtifactError("the checkpoint is damaged:\n  " + "\n  ".join(faults))
    return manifest.config


def _split(state: Mapping[str, Any]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Take a nested state apart into tensors by section and by slash-joined name, and the plain values in their places."""
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


def _place(state: dict[str, Any], trail: list[str], tensor: Tensor) -> None:
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
    try:
        with safe_open(file, framework="pt") as opened:
            # clone: a tensor that stays mapped would change, or crash, when its file does.
            return {name: torch.clone(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ArtifactError(f"{file} is missing") from error
    except SafetensorError as error:
        raise ArtifactError(f"{file} cannot be read: {error}") from error
