"""Results of suites on disk: found under a path, opened, and checked against their own lines."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.files import read_json
from pellucid.core.scores import ITEMS, RESULT, RESULT_SCHEMA
from pellucid.evals.results import Record, prompt_digest, read_records

__all__ = ["StoredResult", "find_results", "open_result", "open_results", "why_unlike"]

_OF_RUN = ("benchmarks", "evals")
"""Where a run has results: of its recipe's own stage, and of `pellucid evaluate RUN`."""

_NEEDED = {"suite": str, "subject": dict, "complete": bool, "tasks": dict}


@dataclass(frozen=True)
class StoredResult:
    """One suite's result on one model: `raw` is result.json, `records` are its lines, by task and item."""

    folder: Path
    raw: Mapping[str, Any]

    @property
    def suite(self) -> str:
        """Name of the suite."""
        return str(self.raw["suite"])

    @property
    def label(self) -> str:
        """The model's name for tables."""
        return str(self.raw["subject"]["label"])

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells one model from another: label, and digest, path or URL."""
        subject = self.raw["subject"]
        return (self.label, *(str(subject.get(key) or "") for key in ("digest", "path", "url")))

    @property
    def complete(self) -> bool:
        """Whether the suite ran to its end."""
        return bool(self.raw["complete"])

    @cached_property
    def records(self) -> Mapping[str, Mapping[str, Record]]:
        """The scored items: task → item → record. Raises `ArtifactError` when they are not those of the result."""
        path = self.folder / ITEMS
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; {RESULT} beside it was made from it, and nothing can be compared without it")
        found: dict[str, dict[str, Record]] = {}
        for record in read_records(path):
            found.setdefault(record.task, {})[record.item] = record
        told = {task: int(table.get("items", 0)) for task, table in self.raw["tasks"].items()}
        counted = Counter({task: len(members) for task, members in found.items()})
        # A suite that goes on has more lines than its tables knew when it was interrupted.
        wrong = {
            task
            for task in told | counted
            if counted[task] < told.get(task, 0) or (self.complete and counted[task] > told.get(task, 0))
        }
        if wrong:
            task = min(wrong)
            raise ArtifactError(
                f"{path} has {counted[task]} items of {task}, {self.folder / RESULT} says {told.get(task, 0)}: one of them was "
                "altered or cut short; score again to make them anew"
            )
        return found


def open_result(folder: Path) -> StoredResult:
    """Read one suite's result; raise `ArtifactError` naming what is missing, of another version or no result at all."""
    path = folder / RESULT
    raw = read_json(path)
    if not isinstance(raw, dict) or "schema" not in raw:
        raise ArtifactError(f"{path} is no result of a suite: it names no schema")
    if raw["schema"] != RESULT_SCHEMA:
        raise ArtifactError(
            f"{path} is of schema {raw['schema']!r}; this version reads {RESULT_SCHEMA}. Score again with this version"
        )
    for key, kind in _NEEDED.items():
        if not isinstance(raw.get(key), kind):
            raise ArtifactError(f"{path} has no {key} ({kind.__name__}): it is damaged; score again to make it anew")
    if not isinstance(raw["subject"].get("label"), str):
        raise ArtifactError(f"{path} does not say which model was scored (subject.label): it is damaged")
    return StoredResult(folder, raw)


def find_results(path: Path) -> list[Path]:
    """Return the folders of results under a path: a suite's folder, a folder of several, or a run.

    Raises `UsageError` when there is none.
    """
    if path.name == RESULT and path.is_file():
        path = path.parent
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder; give a folder with results (SUITE/{RESULT}), or a run that has some")
    if (path / RESULT).is_file():
        return [path]
    roots = [path / name for name in _OF_RUN if (path / name).is_dir()] or [path]
    # What is hidden is being made, or being replaced.
    found = [file.parent for root in roots for file in root.rglob(RESULT) if not _hidden(file, path)]
    if not found:
        raise UsageError(
            f"{path} holds no results: looked for {RESULT} in it and below. They are made by: pellucid evaluate MODEL --suite NAME"
        )
    return sorted(found)


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") or ".superseded-" in part for part in file.relative_to(root).parts)


def open_results(path: Path) -> Sequence[StoredResult]:
    """Open every result under a path, as `find_results` and `open_result` do."""
    return [open_result(folder) for folder in find_results(path)]


def why_unlike(suite: str, task: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """Return why a task's scores in two results (as `StoredResult.raw`) are not of one thing: other data, other judges; else None.

    The same prompt can be scored by other tests (HumanEval and HumanEval+), which only the digest of the data tells.
    """
    data = [_data_digest(raw, task) for raw in (a, b)]
    if None not in data and data[0] != data[1]:
        return f"the data of {task} differ (sha256 {' / '.join(str(one)[:12] for one in data)})"
    if suite == "mt_bench" or task.endswith("_judge"):
        judges = [_judge(raw) for raw in (a, b)]
        if judges[0] != judges[1]:
            return f"graded by different judges: {' / '.join(judges)}"
    return None


def _judge(raw: Mapping[str, Any]) -> str:
    judge, facts = raw.get("judge") or {}, (raw.get("facts") or {}).get("judge") or {}
    told = (judge.get("label"), judge.get("digest") or judge.get("model"), facts.get("prompts_digest"))
    return ", ".join(str(one)[:40] for one in told if one) or "none"


def _data_digest(raw: Mapping[str, Any], task: str) -> str | None:
    """Return the digest that a suite's facts give of a task's data, where they do; of several files all digests in order."""
    facts = raw.get("facts") or {}
    for tasks in (facts.get("tasks"), (facts.get("code") or {}).get("tasks"), facts.get("probes")):
        # bose names its tasks TASK:variant.
        about = next((tasks[name] for name in (task, task.partition(":")[0]) if name in tasks), None) if tasks else None
        if about is not None:
            # The harness gives a list, one for each part of a benchmark.
            return _joined([part.get("sha256") for part in about] if isinstance(about, list) else about.get("sha256"))
    if raw["suite"] == "mt_bench":
        return _joined(facts.get("data"))
    return _joined((facts.get("haystack") or {}).get("sha256")) if raw["suite"] == "needle" else None


def _joined(digests: Any) -> str | None:
    if isinstance(digests, Mapping):
        digests = sorted(digests.values())
    if isinstance(digests, list):
        known = all(isinstance(one, str) for one in digests) and bool(digests)
        return prompt_digest(*digests) if known and len(digests) > 1 else digests[0] if known else None
    return digests if isinstance(digests, str) else None
