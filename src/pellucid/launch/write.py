"""The job file on disk, and the line that submits it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.core.errors import Problem, RecipeError
from pellucid.core.files import write_bytes
from pellucid.launch.kubernetes import kubernetes_manifest
from pellucid.launch.local import local_script
from pellucid.launch.script import arguments_of, quoted
from pellucid.launch.slurm import slurm_script
from pellucid.recipe.launch import LaunchConfig
from pellucid.recipe.load import LoadedRecipe

__all__ = ["JobFile", "write_job"]

_FILES = {"local": "job.sh", "slurm": "job.sbatch", "kubernetes": "job.yaml"}
_SUBMIT = {"local": ("bash",), "slurm": ("sbatch",), "kubernetes": ("kubectl", "apply", "-f")}


@dataclass(frozen=True)
class JobFile:
    """Where a job file was written, and the line of shell that submits it."""

    path: Path
    submit: str


def write_job(loaded: LoadedRecipe, overrides: Sequence[str], runs: Path) -> JobFile:
    """Write RUNS/NAME/launch/job.{sh,sbatch,yaml} after the recipe's launch section and submit nothing.

    `overrides` are those that the recipe was loaded with: the job gives them again. Raises `RecipeError` when the recipe has no
    launch section, and `UsageError` when the scheduler cannot take the path.
    """
    launch = loaded.recipe.launch
    if launch is None:
        fix = "write launch: {kind: slurm, nodes: 2, devices_per_node: 8}, or give --set launch.kind=local"
        raise RecipeError(str(loaded.path), [Problem("launch", "missing; it says how training is started", fix)])
    folder = runs / loaded.recipe.name / "launch"
    path = folder / _FILES[launch.kind]
    write_bytes(path, os.fsencode(_text(launch, loaded, overrides, runs, folder)))
    return JobFile(path, quoted([*_SUBMIT[launch.kind], str(path)]))


def _text(launch: LaunchConfig, loaded: LoadedRecipe, overrides: Sequence[str], runs: Path, folder: Path) -> str:
    if launch.kind == "kubernetes":
        return kubernetes_manifest(loaded.recipe, launch)
    arguments = arguments_of("train", str(loaded.path.absolute()), str(runs.absolute()), overrides)
    if launch.kind == "slurm":
        return slurm_script(launch, arguments, loaded.recipe.name, str(folder.absolute()))
    return local_script(launch, arguments)
