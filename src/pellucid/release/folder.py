"""A release's folder: built under a hidden name beside its place, so that it is there whole or not at all."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pellucid.core.artifacts import replace_folder
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.files import disk_full_is_explained, fsync_tree, read_json
from pellucid.core.released import RELEASE

__all__ = ["building_release", "copy_checked", "refuse_place"]

_CHUNK_BYTES = 8 << 20


@contextmanager
def building_release(out: Path, run: Path, identity: str, *, force: bool) -> Iterator[Path]:
    """Give a folder to write into, that becomes `out` when the block ends well and is gone when it does not.

    Raises `UsageError` when `out` lies inside the run or around it, or is there and no release of this run. With `force` a release
    of another run is replaced too; what is no release never is.
    """
    out, run = out.absolute(), run.absolute()
    refuse_place(out, run, identity, force=force)
    part = out.with_name(f".{out.name}.part")
    with disk_full_is_explained(out):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            yield part
            fsync_tree(part)
            if out.is_dir() and not any(out.iterdir()):
                out.rmdir()
            replace_folder(part, out)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def refuse_place(out: Path, run: Path, identity: str, *, force: bool) -> None:
    """Raise `UsageError` where a release must not be written."""
    resolved, around = out.resolve(), run.resolve()
    if resolved.is_relative_to(around) or around.is_relative_to(resolved):
        raise UsageError(f"DIR: got {out}; must lie outside the run {run}, and not around it")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(f"DIR: {out} is there and is no folder; choose another place")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / RELEASE).is_file():
        raise UsageError(f"DIR: {out} is there and is no release; choose another place, or empty it first")
    try:
        other = read_json(out / RELEASE).get("run")
    except (ArtifactError, AttributeError):
        other = None
    if other != identity and not force:
        raise UsageError(f"DIR: {out} is the release of another run; choose another place, or replace it with --force")


def copy_checked(
    run: Path, out: Path, files: Mapping[str, dict[str, Any] | None], advance: Callable[[int], None]
) -> dict[str, str]:
    """Copy files and return their digests. Raises `ArtifactError` for one that is not what its manifest says."""
    digests = {}
    for name, known in sorted(files.items()):
        if not (run / name).is_file():
            raise ArtifactError(f"{run / name} is missing; see: pellucid verify {run}")
        digest = hashlib.sha256()
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        with (run / name).open("rb") as source, (out / name).open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
                digest.update(chunk)
                advance(len(chunk))
        digests[name] = digest.hexdigest()
        if known is not None and known["sha256"] != digests[name]:
            raise ArtifactError(f"{run / name} is not what its manifest says; see: pellucid verify {run}")
    return digests
