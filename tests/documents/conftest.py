"""Small sources made on the spot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from pellucid.recipe.data import SourceConfig


@pytest.fixture(scope="session")
def make_source() -> Callable[..., SourceConfig]:
    def make(path: str | None, name: str = "web", **fields: Any) -> SourceConfig:
        return SourceConfig(name=name, path=path, weight=1.0, category="Web", **fields)

    return make


@pytest.fixture(scope="session")
def write_jsonl() -> Callable[[Path, list[Any]], Path]:
    """Write one line per value; bytes are written as they are."""

    def write(path: Path, records: list[Any]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join((r if isinstance(r, bytes) else orjson.dumps(r)) + b"\n" for r in records))
        return path

    return write
