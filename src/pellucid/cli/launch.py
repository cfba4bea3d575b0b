"""`pellucid launch RECIPE`: the job file that trains a recipe on several devices or machines."""

import argparse
import shlex
from pathlib import Path

from pellucid.cli.output import print_text
from pellucid.cli.study import launch_study
from pellucid.launch.write import write_job
from pellucid.recipe.load import load_recipe
from pellucid.recipe.read import is_study

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Write the job file and print where it is and how it is submitted."""
    runs = Path(arguments.runs)
    if is_study(Path(arguments.recipe)):
        job = launch_study(arguments)
        print_text(f"wrote          {job.path}")
        print_text(f"submit it with {job.submit}")
        return 0
    loaded = load_recipe(Path(arguments.recipe), arguments.overrides)
    job = write_job(loaded, arguments.overrides, runs)
    print_text(f"wrote          {job.path}")
    print_text(f"submit it with {job.submit}")
    launch = loaded.recipe.launch
    if (
        launch is not None
        and launch.kind != "kubernetes"
        and not (runs / loaded.recipe.name / "shards" / "manifest.json").is_file()
    ):
        recipe, folder = shlex.quote(arguments.recipe), shlex.quote(arguments.runs)
        print_text(f"before that    the run has no shards yet: pellucid documents, tokenizer and shards {recipe} --runs {folder}")
    return 0
