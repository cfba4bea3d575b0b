"""What a suite leaves: a line for every item as soon as it is scored, and tables made of the lines.

The lines are the truth. A suite that was cut off finds them when it is called again and asks only for what is missing.
"""

import hashlib
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.files import disk_full_is_explained, whole_lines, write_bytes
from pellucid.core.seeds import derive_seed
from pellucid.evals.statistics import bootstrap_ratio

__all__ = ["Record", "Records", "prompt_digest", "read_records", "summarise"]


@dataclass(frozen=True, slots=True)
class Record:
    """One scored item. `item` names it for good: the same in every run, whatever else is asked and in which order.

    `scores` are averaged over items (accuracy: 0 or 1). `ratios` are (numerator, denominator), summed over items before they are
    divided (bits per byte: bits and bytes). `group` is a part of the task (a subject, a category, a language). `prompt` is the
    digest of what the model was shown. `text` is the item itself, without examples or instructions around it, as a text or as
    `question`, `choices` and `answer`: by it the item is looked up in training text. `details` are JSON values that let a reader
    check the score: answers, nats of each choice, the judge's words. `dropped_tokens` counts what did not fit into the context.
    """

    task: str
    item: str
    scores: Mapping[str, float] = field(default_factory=dict)
    ratios: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    prompt: str = ""
    group: str | None = None
    dropped_tokens: int = 0
    text: str | Mapping[str, Any] = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Records:
    """The lines of one suite, in a file that grows by one for each item. Use it as a context."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = {(record.task, record.item): record for record in read_records(path)}
        path.parent.mkdir(parents=True, exist_ok=True)
        # A last line that was cut short goes.
        write_bytes(path, b"".join(_line(record) for record in self._known.values()))
        self._file = path.open("ab")

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_: object) -> None:
        with disk_full_is_explained(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def __iter__(self) -> Iterator[Record]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def has(self, task: str, item: str) -> bool:
        """Tell whether an item of a task is already scored."""
        return (task, item) in self._known

    def get(self, task: str, item: str) -> Record | None:
        """Return an item's record, or None when it is not scored yet."""
        return self._known.get((task, item))

    def add(self, record: Record) -> None:
        """Write one record and hand it to the operating system, so that a kill loses at most the line being written."""
        numbers = [*record.scores.values(), *(part for ratio in record.ratios.values() for part in ratio)]
        if not all(map(math.isfinite, numbers)):
            raise ArtifactError(f"item {record.item} of {record.task} has a score that is no number: {dict(record.scores)}")
        if self.has(record.task, record.item):
            raise ValueError(f"item {record.item} of task {record.task} is scored twice")
        self._known[record.task, record.item] = record
        with disk_full_is_explained(self._path):
            self._file.write(_line(record))
            self._file.flush()


def prompt_digest(*parts: str) -> str:
    """Return 16 hex digits that tell prompts apart."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _line(record: Record) -> bytes:
    raw = asdict(record)
    raw["scores"] = {name: float(value) for name, value in record.scores.items()}
    raw["ratios"] = {name: [float(top), float(bottom)] for name, (top, bottom) in record.ratios.items()}
    return orjson.dumps(raw, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"


def read_records(path: Path) -> Iterator[Record]:
    """Yield a file's records; nothing when there is none. A last line that was cut short is passed over.

    Raises `ArtifactError` naming a line that is damaged.
    """
    for number, line in whole_lines(path):
        try:
            raw = orjson.loads(line)
            ratios = {name: (float(top), float(bottom)) for name, (top, bottom) in raw.pop("ratios").items()}
            record = Record(**raw, ratios=ratios)
        except (orjson.JSONDecodeError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise ArtifactError(
                f"{path}, line {number} is no record of an item ({error}): restore the file, or delete it"
            ) from error
        yield record


def summarise(
    records: Iterable[Record], seed: int, is_clean: Callable[[Record], bool | None] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the table of each task: items, each metric's value with standard error and 95 % interval by bootstrap, groups.

    With `is_clean` (None: not looked up) a task also has `clean`, the same table of the items that no training text holds.
    """
    tasks: dict[str, list[Record]] = {}
    for record in records:
        tasks.setdefault(record.task, []).append(record)
    return {name: _task(name, members, seed, is_clean) for name, members in tasks.items()}


def _task(name: str, records: list[Record], seed: int, is_clean: Callable[[Record], bool | None] | None) -> dict[str, Any]:
    records = sorted(records, key=lambda record: record.item)  # the order in which they were scored must not matter
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.group is not None:
            groups.setdefault(record.group, []).append(record)
    table: dict[str, Any] = {
        **_metrics(records, derive_seed(seed, "bootstrap", name)),
        "cut_items": sum(record.dropped_tokens > 0 for record in records),
        "dropped_tokens": sum(record.dropped_tokens for record in records),
        "prompts": prompt_digest(*(f"{record.item}:{record.prompt}" for record in records)),
    }
    if groups:
        table["groups"] = {
            group: _metrics(members, derive_seed(seed, "bootstrap", name, group))
            for group, members in sorted(groups.items(), key=_by_number)
        }
    if is_clean is not None:
        known = [(record, clean) for record in records if (clean := is_clean(record)) is not None]
        unseen = [record for record, is_so in known if is_so]
        table["clean"] = {"looked_up": len(known), **_metrics(unseen, derive_seed(seed, "bootstrap", name, "clean"))}
    return table


def _by_number(named: tuple[str, Any]) -> tuple[int, str]:
    """Put groups that are numbers (lengths) in the order of the numbers, before those that are names."""
    name = named[0]
    return (int(name), "") if name.isdecimal() else (sys.maxsize, name)


def _metrics(records: Sequence[Record], seed: int) -> dict[str, Any]:
    columns: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        for name, value in record.scores.items():
            columns.setdefault(name, []).append((float(value), 1.0))
        for name, ratio in record.ratios.items():
            columns.setdefault(name, []).append(ratio)
    metrics = {}
    for name, values in columns.items():
        top_N, bottom_N = np.array(values, dtype=np.float64).T
        metrics[name] = bootstrap_ratio(top_N, bottom_N, derive_seed(seed, name))
    return {"items": len(records), "metrics": metrics}
