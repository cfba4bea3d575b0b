"""Studies on the command line: `pellucid run`, `plan`, `explain` and `report` of a file that says `kind: study`."""

import argparse
from pathlib import Path

from pellucid.cli.output import print_json, print_table, print_text
from pellucid.core.errors import UsageError
from pellucid.core.units import format_count
from pellucid.launch.study import write_study_jobs
from pellucid.launch.write import JobFile
from pellucid.recipe.load import fields_of
from pellucid.studies.design import LoadedStudy, load_study
from pellucid.studies.plan import plan_study

__all__ = ["explain_study", "launch_study", "study_command"]


def study_command(arguments: argparse.Namespace) -> int:
    """Run, plan or report a study."""
    study = load_study(Path(arguments.recipe), arguments.overrides)
    if arguments.command == "plan":
        _print_plan(study, arguments)
        return 0
    from pellucid.stages.study import prepare_study, run_study, tell_study

    if arguments.command == "run":
        run_study(study, Path(arguments.runs), arguments.only)
    elif arguments.command == "report":
        tell_study(study, Path(arguments.runs))
    elif arguments.command == "shards":
        prepare_study(study, Path(arguments.runs))
    else:
        raise UsageError(f"{arguments.recipe} is a study; pellucid run, shards, plan, explain, launch and report take it")
    return 0


def _print_plan(study: LoadedStudy, arguments: argparse.Namespace) -> None:
    plan = plan_study(study)
    if arguments.on is not None:
        raise UsageError("--on is for a recipe; a study's plan is of tokens and FLOPs")
    if arguments.json:
        print_json(plan.to_json())
        return
    rows = []
    for one in [*plan.runs, *plan.left_out]:
        begins = "" if one.begins_with is None else f"{one.begins_with[0]} ({format_count(one.begins_with[1].tokens)} tokens)"
        told = one.left_out or (f"until the loss of {one.target}" if one.target else "")
        rows.append((one.run.name, format_count(one.tokens), f"{one.flops:.3g}", begins, told))
    print_table(("run", "own tokens", "FLOPs", "begins with", ""), rows, right=(1, 2))
    sums = plan.to_json()
    print_text(
        f"\n{len(plan.runs)} runs, {format_count(sums['tokens'])} tokens, {sums['flops']:.3g} FLOPs; "
        f"{format_count(sums['shared_tokens'])} tokens are trained once for several runs"
    )


def launch_study(arguments: argparse.Namespace) -> JobFile:
    """Write the job files of a study."""
    study, path = load_study(Path(arguments.recipe), arguments.overrides), Path(arguments.recipe)
    launch = study.runs[0].loaded.recipe.launch
    waves = [[one.run.name for one in wave] for wave in plan_study(study).waves]
    return write_study_jobs(launch, path, arguments.overrides, Path(arguments.runs) / study.config.name, waves)


def explain_study(arguments: argparse.Namespace) -> int:
    """Show a study resolved: every value with its meaning, and how many runs it has."""
    study = load_study(Path(arguments.recipe), arguments.overrides)
    rows = [(field, value, text) for field, value, text in fields_of(study.config)]
    if arguments.json:
        runs = [{"name": run.name, "levels": run.levels, "seed": run.seed, "recipe": run.loaded.digest} for run in study.runs]
        print_json({"study": str(arguments.recipe), "values": study.config.model_dump(mode="json"), "runs": runs})
        return 0
    print_table(("field", "value", "meaning"), rows)
    print_text(f"\n{len(study.runs)} runs, digest {study.digest[:16]}; pellucid plan {arguments.recipe} lists them")
    return 0
