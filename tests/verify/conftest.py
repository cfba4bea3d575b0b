"""A run released as `pellucid release` lays folders out."""

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from pellucid.core.files import write_json


@pytest.fixture
def release() -> Callable[..., Path]:
    """Turn a run into a released folder, in place, without the files of these names."""

    def release_in_place(run: Path, left_out: Collection[str] = ()) -> Path:
        listed = []
        (run / ".lock").unlink(missing_ok=True)
        for name in left_out:
            data = (run / name).read_bytes()
            listed.append({"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "why": "large"})
            (run / name).unlink()
        write_json(run / "release.json", {"schema_version": 1, "name": run.name, "left_out": listed})
        (run / "README.md").write_text("# A model card\n")
        files = sorted(file.relative_to(run).as_posix() for file in run.rglob("*") if file.is_file())
        lines = [f"{hashlib.sha256((run / name).read_bytes()).hexdigest()}  {name}\n" for name in files]
        (run / "SHA256SUMS").write_text("".join(lines))
        return run

    return release_in_place
