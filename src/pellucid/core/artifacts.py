"""Artifacts: a folder whose `manifest.json` is written last, so that it is whole exactly when the manifest is there.

A stage builds in a hidden neighbour (`.NAME.part`) that remembers what it is being built from. When the same stage is run again
after a kill, the part is continued; when its inputs changed, it is thrown away. The old artifact stays until the new one is whole.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.environment import code_version, environment
from pellucid.core.errors import ArtifactError
from pellucid.core.files import (
    disk_full_is_explained,
    fsync_directory,
    fsync_tree,
    is_inside,
    json_bytes,
    read_json,
    sha256_file,
    write_json,
)

__all__ = [
    "Build",
    "Key",
    "Manifest",
    "building",
    "built_from",
    "find_faults",
    "fingerprint",
    "is_current",
    "is_interrupted",
    "read_manifest",
    "seal",
    "supersede",
]

MANIFEST = "manifest.json"
KEY = "building.json"

# How hidden names end that are only there while something is written, replaced or dropped.
_LEFTOVERS = (".part", ".old", ".dropped")

# Above this size a stage trusts file sizes on start; `pellucid verify` always reads every byte.
DIGEST_LIMIT_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Key:
    """What an artifact is a function of: equal keys mean that building again would give the same bytes."""

    kind: str
    schema_version: int
    seed: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the key as plain JSON values, so that it compares equal to what is read back from disk."""
        plain: dict[str, Any] = orjson.loads(orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS))
        return plain


@dataclass(frozen=True)
class Manifest:
    """One artifact's account: what it is, what it came from, what it holds, and how it was made.

    `sha256` is that of the rest of the manifest, so that damage to the account itself shows; manifests from before it have none.
    """

    kind: str
    schema_version: int
    seed: int
    config: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, dict[str, Any]]
    summary: dict[str, Any]
    code_version: str
    environment: dict[str, Any]
    started_at: str
    seconds: float
    energy: dict[str, Any]
    sha256: str = ""

    @property
    def key(self) -> dict[str, Any]:
        """The part of the manifest that says what the artifact is a function of."""
        return Key(self.kind, self.schema_version, self.seed, self.config, self.inputs).as_json()


@dataclass
class Build:
    """An artifact under construction. Write below `path`; put figures for the manifest into `summary`."""

    path: Path
    summary: dict[str, Any] = field(default_factory=dict)


def read_manifest(path: Path, kind: str | None = None) -> Manifest:
    """Read an artifact's manifest; raise `ArtifactError` when there is none, when it is damaged, or when it is of another kind."""
    raw = read_json(path / MANIFEST)
    try:
        manifest = Manifest(**raw)
    except TypeError as error:
        raise ArtifactError(f"{path / MANIFEST} is not a Pellucid manifest: {error}") from error
    as_written = json_bytes(raw) == (path / MANIFEST).read_bytes()
    if not as_written or (manifest.sha256 and manifest.sha256 != _digest_of_manifest(raw)):
        raise ArtifactError(f"{path / MANIFEST} was altered: its sha256 is not the one that it holds")
    if kind is not None and manifest.kind != kind:
        raise ArtifactError(f"{path} is a {manifest.kind!r} artifact, expected {kind!r}")
    _check_fields(path / MANIFEST, manifest)
    return manifest


def _check_fields(file: Path, manifest: Manifest) -> None:
    """Refuse fields of other types, and outputs that do not lie in the artifact: whoever wrote them may want others' files read."""
    for name in ("config", "inputs", "outputs", "summary"):
        if not isinstance(getattr(manifest, name), dict):
            raise ArtifactError(f"{file}: {name} is not a mapping of names to values")
    for name, output in manifest.outputs.items():
        if not is_inside(name):
            raise ArtifactError(f"{file}: outputs: got {name!r}; must be a file inside {file.parent}")
        known = isinstance(output, dict) and isinstance(output.get("sha256"), str) and isinstance(output.get("bytes"), int)
        if not known:
            raise ArtifactError(f"{file}: outputs: {name!r} must have sha256 and bytes")


def _digest_of_manifest(raw: Mapping[str, Any]) -> str:
    return sha256(json_bytes({name: value for name, value in raw.items() if name != "sha256"})).hexdigest()


def fingerprint(path: Path) -> str:
    """Return one digest of everything an artifact holds; this is what a later stage records as its input."""
    manifest = read_manifest(path)
    content = {name: output["sha256"] for name, output in manifest.outputs.items()}
    return sha256(orjson.dumps([manifest.kind, manifest.schema_version, content], option=orjson.OPT_SORT_KEYS)).hexdigest()


def find_faults(path: Path, *, digests: bool = True) -> list[str]:
    """Compare an artifact with its manifest and return one line per file that is missing, cut short, altered or unknown."""
    manifest = read_manifest(path)
    faults = []
    for name, output in manifest.outputs.items():
        file = path / name
        if not file.is_file():
            faults.append(f"{file} is missing")
        elif file.stat().st_size != output["bytes"]:
            faults.append(f"{file} has {file.stat().st_size} bytes, its manifest says {output['bytes']}")
        elif digests and sha256_file(file) != output["sha256"]:
            faults.append(f"{file} was altered: its sha256 is not the one in the manifest")
    present = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    faults += [f"{path / name} is not in the manifest" for name in sorted(present - manifest.outputs.keys() - {MANIFEST, KEY})]
    return faults


def is_current(path: Path, key: Key) -> bool:
    """Tell whether the artifact at `path` is whole and was built from exactly this key."""
    try:
        manifest = read_manifest(path)
    except ArtifactError:
        return False
    if manifest.key != key.as_json():
        return False
    total_bytes = sum(output["bytes"] for output in manifest.outputs.values())
    return not find_faults(path, digests=total_bytes <= DIGEST_LIMIT_BYTES)


def seal(
    path: Path,
    key: Key,
    *,
    summary: Mapping[str, Any],
    started: float,
    seconds: float | None = None,
    energy: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write the manifest of a finished folder, last and atomically, after everything else in it is on the disk.

    `started`: `time.time()` when the work began. `seconds` are how long it took by a clock that nobody sets; without them it is the
    time since `started`, and never below 0.
    """
    with disk_full_is_explained(path):
        fsync_tree(path)
    # Only this folder's own manifest is left out: one that lies deeper (a checkpoint's in its training stage) is contents.
    own = (path / MANIFEST, path / KEY)
    files = sorted(file for file in path.rglob("*") if file.is_file() and file not in own)
    outputs = {str(file.relative_to(path)): {"sha256": sha256_file(file), "bytes": file.stat().st_size} for file in files}
    manifest = Manifest(
        kind=key.kind,
        schema_version=key.schema_version,
        seed=key.seed,
        config=key.as_json()["config"],
        inputs=dict(key.inputs),
        outputs=outputs,
        summary=dict(summary),
        code_version=code_version(),
        environment=environment(),
        started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        seconds=round(max(0.0, time.time() - started) if seconds is None else seconds, 3),
        energy=dict(energy or {}),
    )
    # As it will be read: numbers may be numpy's here.
    raw = orjson.loads(json_bytes(asdict(manifest)))
    raw["sha256"] = _digest_of_manifest(raw)
    write_json(path / MANIFEST, raw)
    return Manifest(**raw)


def is_interrupted(path: Path, key: Key, *, in_place: bool = False) -> bool:
    """Tell whether building under this key would go on from what an earlier build left off (see `building`)."""
    part = _part_of(path, in_place)
    try:
        return (part / KEY).is_file() and built_from(part) == key.as_json()
    except ArtifactError:
        return False


@contextmanager
def building(
    path: Path, key: Key, *, in_place: bool = False, energy: Callable[[], Mapping[str, Any]] | None = None
) -> Iterator[Build]:
    """Build the artifact `path` under its key: yield a folder to write into, then seal it and put it in place.

    The folder keeps what an interrupted build with the same key already wrote, so a restartable stage finds its finished pieces.
    `in_place` is for training, whose progress people watch and whose work is dear: it happens in `path` itself, and what another
    key made there is set aside as `NAME.superseded-K`, never deleted. `energy` is asked at the end for the manifest's field.
    """
    started, since = time.time(), time.monotonic()
    part = _part_of(path, in_place)
    with disk_full_is_explained(path):
        _open_part(part, key, set_aside=in_place)
        build = Build(part)
        yield build
    _clear_away_leftovers(part)
    spent = energy() if energy is not None else None
    seal(part, key, summary=build.summary, started=started, seconds=time.monotonic() - since, energy=spent)
    (part / KEY).unlink()
    if not in_place:
        replace_folder(part, path)


def _part_of(path: Path, in_place: bool) -> Path:
    return path if in_place else path.with_name(f".{path.name}.part")


def _open_part(part: Path, key: Key, *, set_aside: bool) -> None:
    """Make the folder to build in: the interrupted build of the same key, or an empty one."""
    if part.exists():
        try:
            known = built_from(part)
        except ArtifactError as error:
            if set_aside:
                raise ArtifactError(
                    f"{error}\nNothing else says what {part} was made from. Restore the file from a copy; or rename the folder and "
                    "give the same command again, which then begins anew."
                ) from error
            known = None
        if known != key.as_json() and set_aside:
            supersede(part)
        elif known != key.as_json():
            shutil.rmtree(part)
    write_json(part / KEY, key.as_json())
    (part / MANIFEST).unlink(missing_ok=True)


def supersede(path: Path) -> None:
    """Set aside, as `NAME.superseded-K`, what another key made in place."""
    number = next(n for n in count(1) if not path.with_name(f"{path.name}.superseded-{n}").exists())
    path.rename(path.with_name(f"{path.name}.superseded-{number}"))


def built_from(part: Path) -> dict[str, Any] | None:
    """The key of a build, interrupted or finished; None when there is no trace of one."""
    if (part / KEY).is_file():
        key: dict[str, Any] = read_json(part / KEY)
        return key
    return read_manifest(part).key if (part / MANIFEST).is_file() else None


def _clear_away_leftovers(part: Path) -> None:
    """Remove hidden files and folders of writes that a kill cut short: they would be sealed as contents."""
    for left in sorted(part.rglob(".*")):
        if left.suffix in _LEFTOVERS and left.is_dir():
            shutil.rmtree(left)
        elif left.suffix in _LEFTOVERS:
            left.unlink(missing_ok=True)


def replace_folder(new: Path, path: Path) -> None:
    """Put `new` at `path`. A kill between the two renames leaves the old artifact beside, and the stage is simply run again."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    new.rename(path)
    fsync_directory(path.parent)
    shutil.rmtree(old, ignore_errors=True)
