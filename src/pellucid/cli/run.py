"""`pellucid run` and the single stages."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from pellucid.cli.output import print_rich
from pellucid.cli.show_dropped import show_dropped
from pellucid.cli.study import study_command
from pellucid.core.errors import StoppedError, UsageError
from pellucid.core.signals import signals_handled
from pellucid.plan.devices import planned_on
from pellucid.recipe.load import load_recipe
from pellucid.recipe.read import is_study
from pellucid.stages.flow import run_all, run_one
from pellucid.stages.plan import plan_json, plan_text

__all__ = ["command", "stop_at_signal"]


def command(arguments: argparse.Namespace) -> int:
    """Run all stages of a recipe, or one."""
    with signals_handled(stop_at_signal, signal.SIGTERM):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    if is_study(Path(arguments.recipe)):
        return study_command(arguments)
    if getattr(arguments, "only", None):
        raise UsageError(f"--only is for a study; {arguments.recipe} is a recipe")
    loaded = load_recipe(Path(arguments.recipe), arguments.overrides)
    runs = Path(arguments.runs)
    run = runs / loaded.recipe.name
    if arguments.command == "plan" and (arguments.json or arguments.on is not None):
        recipe = loaded.recipe if arguments.on is None else planned_on(loaded.recipe, arguments.on)
        # Elsewhere than the recipe says is a question, not this run's plan.
        known = run if arguments.on is None else None
        if arguments.json:
            sys.stdout.write(plan_json(recipe, run, machine=known))
        else:
            print_rich(plan_text(recipe, run, machine=known))
        return 0
    if arguments.command == "run":
        run_all(loaded, runs)
    else:
        run_one(arguments.command, loaded, runs)
    if arguments.command == "plan":
        print_rich(plan_text(loaded.recipe, run, machine=run))
    if arguments.command == "documents" and (arguments.show_dropped is not None or arguments.json):
        show_dropped(runs / loaded.recipe.name, arguments.recipe, arguments.show_dropped, as_json=arguments.json)
    return 0


def stop_at_signal(number: int, _: FrameType | None) -> None:
    """Outside training, which saves first, SIGTERM ends the stage where it is; the next call goes on from there."""
    raise StoppedError(number, "Stopped. What was finished is kept; give the same command again to continue.")
