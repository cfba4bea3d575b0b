"""Suite `choices`: multiple choice and perplexity by the runner that training uses, on any subject."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.core.progress import progress
from pellucid.evals.choices.score import perplexity, record_of, score_items
from pellucid.evals.choices.tasks import LoadedTask, load_task
from pellucid.evals.results import Records
from pellucid.evals.subject import Setting, Subject
from pellucid.recipe.suites import ChoicesConfig

__all__ = ["run"]

_AT_ONCE = 256  # items scored in one call: enough to fill batches, few enough that a kill costs little


def run(subject: Subject, config: ChoicesConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Score the tasks' items that `records` does not hold yet; return where they come from and figures that are no means.

    Raises `UsageError` and `DataError` before anything is scored when a task's data are missing or wrong.
    """
    data = Path(setting.data) if setting.data is not None else None
    tasks = _told_apart([load_task(name, data, setting.seed, setting.limit) for name in config.tasks])
    facts = {}
    for task in tasks:
        _score(subject, task, records)
        found = [record for item in task.items if (record := records.get(task.name, item.id)) is not None]
        facts[task.name] = {**task.facts, "items": len(task.items), **perplexity(found)}
    return {"shots": 0, "tasks": facts}


def _told_apart(tasks: Sequence[LoadedTask]) -> list[LoadedTask]:
    """Return the tasks with the folder's name before the file's where two files have one name.

    Raises `UsageError` where they have one name even so: their records could not be told apart.
    """
    often = Counter(task.name for task in tasks)
    named = [
        replace(task, name=f"{task.path.parent.name}/{task.name}") if often[task.name] > 1 and task.path is not None else task
        for task in tasks
    ]
    if double := [name for name, count in Counter(task.name for task in named).items() if count > 1]:
        raise UsageError(f"choices.tasks has two tasks that are called {double[0]}: rename a file, or leave one out")
    return named


def _score(subject: Subject, task: LoadedTask, records: Records) -> None:
    missing = [item for item in task.items if not records.has(task.name, item.id)]
    with progress(task.name, sum(len(item.pairs) for item in missing), "continuations") as bar:
        for first in range(0, len(missing), _AT_ONCE):
            chunk = missing[first : first + _AT_ONCE]
            for item, scored in zip(chunk, score_items(subject, chunk, bar.advance), strict=True):
                records.add(record_of(task.name, item, scored))
