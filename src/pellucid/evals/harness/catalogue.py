"""Which tasks lm-evaluation-harness has: their configurations by name, reading only the folders that are asked for.

Indexing all of the harness' tasks takes half a minute; looking a name up in their files as text takes two seconds.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.evals.harness.tasks import quiet

__all__ = ["configurations", "look_up"]

Config = dict[str, Any]


def configurations(folder: str, pattern: str) -> list[Config]:
    """Return the configurations, with their functions, of the tasks in a folder of the harness whose names match, in the alphabet.

    Raises `UsageError` when there is none.
    """
    index = _index([folder])
    names = sorted(name for name, entry in index.items() if fnmatchcase(name, pattern) and _is_task(entry))
    if not names:
        raise UsageError(f"this version of lm-evaluation-harness has no task {pattern} in {folder}")
    return [_config(index[name]) for name in names]


def look_up(names: Sequence[str]) -> dict[str, list[Config]]:
    """Return, for each name of a task, a group or a tag of the harness, the configurations of the tasks it means.

    Raises `UsageError` naming what the harness does not have.
    """
    index: dict[str, Any] = {}
    return {name: _members(name, index, {}) for name in names}


def _members(name: str, index: dict[str, Any], overrides: Mapping[str, Any]) -> list[Config]:
    if name not in index:
        index.update(_index(_folders_naming(name)))
    entry = index.get(name)
    if entry is None:
        raise UsageError(f"lm-evaluation-harness has no task, group or tag {name!r}; list them with: lm_eval ls tasks")
    if _is_task(entry):
        return [{**_config(entry), **overrides}]
    if entry.kind.name == "TAG":
        return [config for member in sorted(entry.tags) for config in _members(member, index, overrides)]
    found: list[Config] = []
    for member in entry.cfg["task"]:
        if isinstance(member, str):
            found += _members(member, index, overrides)
        elif isinstance(member, dict) and ("task" in member or "group" in member):
            own = {key: value for key, value in member.items() if key not in ("task", "group")}
            found += _members(member.get("task") or member["group"], index, {**overrides, **own})
    return found


def _index(folders: Iterable[str]) -> dict[str, Any]:
    from lm_eval.tasks import TaskManager

    root = _tasks_folder()
    with quiet():
        return dict(TaskManager(include_defaults=False, include_path=[root / folder for folder in folders]).task_index)


def _is_task(entry: Any) -> bool:
    return entry.yaml_path is not None and entry.kind.name in ("TASK", "PY_TASK")


def _config(entry: Any) -> Config:
    from lm_eval.tasks._yaml_loader import load_yaml

    return {**load_yaml(entry.yaml_path), "task": entry.name}


def _tasks_folder() -> Path:
    import lm_eval.tasks

    return Path(lm_eval.tasks.__file__).parent


def _folders_naming(name: str) -> list[str]:
    """Return the folders of the harness with a file in which a task, group or tag is called so."""
    root = _tasks_folder()
    quoted = re.escape(name.encode())
    line = re.compile(rb"^\s*(?:-\s+|[\"']?(?:task|group|tag)[\"']?:\s+)[\"']?" + quoted + rb"[\"']?\s*$", re.MULTILINE)
    found = [file for file in sorted(root.rglob("*.yaml")) if line.search(file.read_bytes())]
    return list(dict.fromkeys(str(file.parent.relative_to(root)) for file in found))
