"""Job files of a study: its data, then its runs wave by wave, each as an array of jobs, then the page."""

import os
from collections.abc import Sequence
from pathlib import Path

from pellucid.core.errors import Problem, RecipeError, UsageError
from pellucid.core.files import write_bytes
from pellucid.launch.script import arguments_of, preamble, quoted
from pellucid.launch.slurm import slurm_script
from pellucid.launch.write import JobFile
from pellucid.recipe.launch import LaunchConfig

__all__ = ["write_study_jobs"]


def write_study_jobs(
    launch: LaunchConfig | None, study: Path, overrides: Sequence[str], folder: Path, waves: Sequence[Sequence[str]]
) -> JobFile:
    """Write FOLDER/launch/study.sh, and what it submits, and return it; submit nothing.

    `launch` is the section of the recipe that the runs begin from, `folder` the study's, `waves` names of runs that wait for those
    before them. On one machine the script makes the runs one after the other; on Slurm each run is a job of its own on the nodes
    and devices of `launch`. A wave begins when all jobs before it have ended, however they did: a run that failed is a result.
    Raises `RecipeError` without a launch section, and `UsageError` for Kubernetes, which has no jobs that wait for others, and for
    several devices without Slurm.
    """
    if launch is None:
        fix = "write launch: {kind: slurm, devices_per_node: 8} in the base, or set: {launch.kind: slurm}"
        raise RecipeError(str(study), [Problem("launch", "missing; it says how training is started", fix)])
    if launch.kind == "kubernetes":
        raise UsageError(
            "launch.kind: got kubernetes; jobs that wait for others are known to Slurm alone. Run the study from a pod"
        )
    if launch.kind == "local" and launch.ranks > 1:
        raise UsageError(
            f"launch.nodes · launch.devices_per_node: got {launch.ranks}; on one machine each run of a study is one process. Set "
            "launch.kind: slurm for several, or work.workers for several runs side by side"
        )
    jobs = folder / "launch"
    given = (str(study.absolute()), str(folder.parent.absolute()), overrides)
    prepare, tell = (quoted(["pellucid", *arguments_of(command, *given)]) for command in ("shards", "report"))
    lines = ["#!/usr/bin/env bash", *preamble(launch)]
    if launch.kind == "local":
        lines += ["exec " + quoted(["pellucid", *arguments_of("run", *given)])]
    else:
        log = str(jobs.absolute()).replace("%", "%%")
        options = [f"--{key}={value}" for key in ("partition", "account") if (value := getattr(launch.slurm, key)) is not None]
        data = quoted(["sbatch", "--parsable", f"--output={log}/data-%j.log", *options, *launch.slurm.options, f"--wrap={prepare}"])
        page = quoted([f"--output={log}/report-%j.log", *options, *launch.slurm.options, f"--wrap={tell}"])
        lines += [f"data=$({data})", *_submitted(launch, folder.name, given, waves, jobs)]
        lines += [f"sbatch --dependency=afterany:$job {page}"]
    path = jobs / "study.sh"
    write_bytes(path, os.fsencode("\n".join([*lines, ""])))
    return JobFile(path, quoted(["bash", str(path)]))


def _submitted(
    launch: LaunchConfig, name: str, given: tuple[str, str, Sequence[str]], waves: Sequence[Sequence[str]], jobs: Path
) -> list[str]:
    """Write an array of jobs for each wave, and return the lines that submit them one after the other."""
    lines = []
    for number, runs in enumerate(waves):
        file = jobs / f"wave-{number}.sbatch"
        script = slurm_script(launch, arguments_of("run", *given), f"{name}-{number}", str(jobs.absolute()), runs)
        write_bytes(file, os.fsencode(script))
        # Without data there is nothing to train; a run that failed is a result like any other.
        when = "--kill-on-invalid-dep=yes --dependency=afterok:$data" + (",afterany:$job" if number else "")
        lines.append(f"job=$(sbatch --parsable {when} {quoted([str(file.absolute())])})")
    return lines
