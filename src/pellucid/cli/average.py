"""`pellucid average RUN`: the mean of a training stage's newest checkpoints, as a checkpoint."""

import argparse
from pathlib import Path

from pellucid.checkpoint.average import average_checkpoints
from pellucid.checkpoint.files import checkpoint_step
from pellucid.checkpoint.retention import newest_good
from pellucid.cli.output import print_text
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.stages.attempt import attempt
from pellucid.stages.run_folder import open_recipe, training_stage

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Average the newest good checkpoints and print where the mean lies.

    It lies in the run, beside the stages: a finished stage's folder is sealed, and a file more in it would break its manifest.
    """
    run = Path(arguments.run)
    recipe = open_recipe(run)
    stage = training_stage(recipe, arguments.stage or recipe.train[-1].name)
    last = stage.checkpoint.keep_last if arguments.last is None else arguments.last
    if last < 2:
        raise UsageError(f"--last {last}: a mean needs at least 2 checkpoints" + _keep_more(stage.name))
    good = newest_good(run / stage.name / "checkpoints", last)
    steps = ", ".join(str(checkpoint_step(path)) for path in reversed(good))
    if len(good) < last:
        there = f"{len(good)} good checkpoint{'s' if len(good) != 1 else ''}" + (f" (step {steps})" if good else "")
        raise ArtifactError(f"{run / stage.name} has {there}, --last {last} needs {last}" + _keep_more(stage.name))
    with attempt(run, "average") as work:
        path = average_checkpoints(good[::-1], run / "averages" / f"{stage.name}-last-{last}")
        work.made(path, {"steps": sorted(checkpoint_step(one) for one in good)})
    print_text(f"mean of steps {steps}: {path}")
    return 0


def _keep_more(stage: str) -> str:
    return f"; train with --set train.{stage}.checkpoint.keep_last=N to keep more"
