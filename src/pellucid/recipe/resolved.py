"""The resolved recipe of a run, as the run keeps it: `recipe.resolved.yaml`, every value written out."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.section import Section
from pellucid.recipe.study import StudyConfig
from pellucid.recipe.tree import MAX_VALUES

__all__ = ["RECIPE_FILE", "STUDY_FILE", "open_recipe", "parse_resolved", "parse_resolved_study", "resolved_text", "values_digest"]

RECIPE_FILE = "recipe.resolved.yaml"
STUDY_FILE = "study.resolved.yaml"
"""What a study keeps in its folder, as runs keep their recipe."""
_Kind = TypeVar("_Kind", bound=Section)


def resolved_text(values: dict[str, Any]) -> str:
    """Return the values of a resolved recipe (JSON values) as the file holds them: name and digest in a comment, then YAML."""
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return f"# {values['name']}, resolved; digest {values_digest(values)}\n{text}"


def values_digest(values: dict[str, Any]) -> str:
    """Return the digest that a recipe is known by: sha256 of its resolved values."""
    return sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def parse_resolved(path: Path, text: str) -> tuple[Recipe, dict[str, Any]]:
    """Return the recipe and its plain values out of the text of the file at `path`; raise `ArtifactError` naming it otherwise."""
    return _parse(path, text, Recipe, "recipe of a run")


def parse_resolved_study(path: Path, text: str) -> StudyConfig:
    """Return the study that a study's folder is of, out of the text of the file at `path`; raise `ArtifactError` otherwise."""
    return _parse(path, text, StudyConfig, "form of a study")[0]


def _parse(path: Path, text: str, kind: type[_Kind], what: str) -> tuple[_Kind, dict[str, Any]]:
    try:
        values = yaml.safe_load(text)
        if _values_in(values, MAX_VALUES) > MAX_VALUES:
            raise ArtifactError(f"{path} has more than {MAX_VALUES} values; it is no {what.split()[0]}, or its aliases multiply")
        return kind.model_validate(values), values
    except (yaml.YAMLError, ValidationError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not the resolved {what}: {_first_line(error)}") from error


def open_recipe(run: Path) -> Recipe:
    """Return the recipe that a run was made with; raise `UsageError` when the folder is no run, `ArtifactError` otherwise."""
    path = run / RECIPE_FILE
    if not path.is_file():
        raise UsageError(f"{run} is not a run (it has no {RECIPE_FILE}); give the folder of a run, for example runs/pocket")
    try:
        text = path.read_text()
    except ValueError as error:
        raise ArtifactError(f"{path} is not the resolved recipe of a run: {_first_line(error)}") from error
    return parse_resolved(path, text)[0]


def _values_in(values: object, most: int) -> int:
    """Count the values of a document, those that aliases repeat again each time; what is above `most` is not counted on."""
    count, left = 0, [values]
    while left and count <= most:
        count += 1
        value = left.pop()
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return count


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).split()) or type(error).__name__
