"""Numbers that know where they came from: a value read from an artifact, with its file, its place in it and its command."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json
from pellucid.core.metrics import read_metrics
from pellucid.report.commands import command_of

__all__ = ["Fact", "Facts", "resolve"]


@dataclass(frozen=True)
class Fact:
    """One value of the report: as shown, as stored, its pointer (file of the run, RFC 6901 pointer into it), and its command."""

    text: str
    value: Any
    file: str
    pointer: str
    command: str = ""


def resolve(document: Any, pointer: str) -> Any:
    """Return what an RFC 6901 JSON pointer names; raise `KeyError` when there is nothing."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def escape_token(key: str) -> str:
    """Escape a key for use in a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


class Facts:
    """The artifacts of one run, opened once. A `.jsonl` file is a list of its records."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._documents: dict[str, Any] = {}

    @cached_property
    def stages(self) -> list[str]:
        """Folders of the run whose artifact is whole, in the order in which they were finished."""
        manifests = [path for path in self.run.glob("*/manifest.json") if path.parent.name != "report"]
        named = sorted(
            (read_json(path)["started_at"], path.parent.name) for path in manifests if "superseded" not in path.parent.name
        )
        return [name for _, name in named]

    def has(self, file: str) -> bool:
        """Tell whether the run has this file."""
        return (self.run / file).is_file()

    def document(self, file: str) -> Any:
        """Return the parsed file; raise `ArtifactError` when it is missing."""
        if file not in self._documents:
            path = self.run / file
            if not path.is_file():
                raise ArtifactError(f"{path} is missing; the report is made from it")
            self._documents[file] = list(read_metrics(path)) if path.suffix == ".jsonl" else read_json(path)
        return self._documents[file]

    def get(self, file: str, *keys: str | int, show: Callable[[Any], str] = str) -> Fact:
        """Return the value at these keys as a fact; raise `ArtifactError` naming file and place when it is not there."""
        pointer = "".join(f"/{escape_token(str(key))}" for key in keys)
        try:
            value = resolve(self.document(file), pointer)
        except (KeyError, IndexError, TypeError) as error:
            raise ArtifactError(f"{self.run / file} has nothing at {pointer}") from error
        return Fact(show(value), value, file, pointer, command_of(file, keys, self.document(file)))


def canonical(value: Any) -> str:
    """Return a value as the JSON text that the page carries beside each number."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
