"""Ways to tamper with a run, and to release it as `pellucid release` lays folders out."""

import hashlib
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.artifacts import Key, read_manifest, seal
from pellucid.core.files import write_json


@pytest.fixture
def rewrite() -> Callable[[Path, Callable[[Any], None]], None]:
    """Change a JSON file: `rewrite(file, change)`, where `change` gets what it holds."""

    def rewrite_json(file: Path, change: Callable[[Any], None]) -> None:
        value = json.loads(file.read_text())
        change(value)
        write_json(file, value)

    return rewrite_json


@pytest.fixture
def reseal() -> Callable[..., None]:
    """Make an artifact's manifest anew for what lies there now, as whoever covers traces would."""

    def seal_again(folder: Path, **other: Any) -> None:
        old = read_manifest(folder)
        (folder / "manifest.json").unlink()
        config = {**old.config, **other.get("config", {})}
        inputs = {**old.inputs, **other.get("inputs", {})}
        key = Key(old.kind, old.schema_version, other.get("seed", old.seed), config, inputs)
        seal(folder, key, summary={**old.summary, **other.get("summary", {})}, started=0.0)

    return seal_again


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
