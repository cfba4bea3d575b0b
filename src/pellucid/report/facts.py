"""Numbers that know where they came from: a value read from an artifact, with its file, its place in it and its command."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.excerpt import visible
from pellucid.core.files import read_json
from pellucid.core.ledger import LEDGER
from pellucid.core.metrics import read_metrics
from pellucid.core.spending import OF_THE_REPORT
from pellucid.report.commands import command_of

__all__ = ["Fact", "Facts", "before_report", "resolve"]


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
    """The artifacts of one run, opened once. A `.jsonl` file is a list of its records.

    `made` are files that the report itself makes, which stand for those that an earlier report left. The ledger ends with its last
    event that is of neither a report, nor its account, nor something unchanged: so a report made again is the same report.
    """

    def __init__(self, run: Path, made: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.run = run
        self._documents: dict[str, Any] = dict(made)
        self._made = frozenset(made)

    @cached_property
    def stages(self) -> list[str]:
        """Folders of the run whose artifact is whole, in the order in which they were finished."""
        manifests = [path for path in self.run.glob("*/manifest.json") if path.parent.name not in OF_THE_REPORT]
        named = sorted(
            (read_json(path)["started_at"], path.parent.name) for path in manifests if "superseded" not in path.parent.name
        )
        return [name for _, name in named]

    def has(self, file: str) -> bool:
        """Tell whether the run has this file."""
        return file in self._made or (self.run / file).is_file()

    def document(self, file: str) -> Any:
        """Return the parsed file; raise `ArtifactError` when it is missing."""
        if file not in self._documents:
            path = self.run / file
            if not path.is_file():
                raise ArtifactError(f"{path} is missing; the report is made from it")
            self._documents[file] = list(read_metrics(path)) if path.suffix == ".jsonl" else read_json(path)
            if file == LEDGER:
                self._documents[file] = before_report(self._documents[file])
        return self._documents[file]

    def get(self, file: str, *keys: str | int, show: Callable[[Any], str] = str) -> Fact:
        """Return the value at these keys as a fact; raise `ArtifactError` naming file and place when it is not there."""
        pointer = "".join(f"/{escape_token(str(key))}" for key in keys)
        try:
            value = resolve(self.document(file), pointer)
        except (KeyError, IndexError, TypeError) as error:
            raise ArtifactError(f"{self.run / file} has nothing at {pointer}") from error
        return Fact(visible(show(value)), value, file, pointer, command_of(file, keys, self.document(file)))

    def known(self, file: str, *keys: str | int, otherwise: str, show: Callable[[Any], str] = str) -> Fact | str:
        """Return the value at these keys as a fact; what is told otherwise where the artifact does not have it."""
        try:
            fact = self.get(file, *keys)
        except ArtifactError:
            return otherwise
        return otherwise if fact.value is None else replace(fact, text=visible(show(fact.value)))


def before_report(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a ledger's events up to the last that is of neither a report, nor its account, nor something unchanged."""
    others = (event.get("stage") not in OF_THE_REPORT and event.get("event") != "unchanged" for event in events)
    told = [number for number, is_other in enumerate(others, start=1) if is_other]
    return list(events[: max(told, default=0)])


def canonical(value: Any) -> str:
    """Return a value as the JSON text that the page carries beside each number."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
