"""The parser, the errors' way to the terminal, and the exit statuses. Each command's own code is imported when it is called."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from pellucid import __version__
from pellucid.cli.chat_arguments import chat_arguments
from pellucid.cli.engine_arguments import serve_arguments
from pellucid.cli.release_arguments import release_arguments
from pellucid.cli.throughput_arguments import throughput_arguments
from pellucid.cli.verify_arguments import verify_arguments
from pellucid.cli.watch_arguments import watch_arguments
from pellucid.core.errors import PellucidError
from pellucid.core.threads_wait import THREADS_WAIT, let_threads_sleep

__all__ = ["THREADS_WAIT", "build_parser", "entry", "main"]

_DESCRIPTION = """\
Pellucid turns one recipe file into a small open language model and the whole account of how it was made:
documents, tokenizer, token shards, training, held-out scores, exports and a report, each checkable on its own.
"""

_EPILOG = """\
first steps:
  pellucid run recipes/pocket.yaml         everything, from the shipped corpus to a report (about ten minutes on two cores)
  pellucid chat runs/pocket                talk to what came out
  pellucid watch runs/pocket               training while it goes on, from a second terminal
  pellucid inspect runs/pocket --step 100  which documents step 100 was trained on

exit status: 0 done, 1 failed, 2 the recipe or the call is wrong, 130/143 stopped by a signal (the same command continues)
"""

_STAGES = {
    "plan": "forecast parameters, tokens, memory, time, money and carbon before spending any",
    "documents": "read the sources, drop exact duplicates, hold documents out, count everything",
    "tokenizer": "train or build the vocabulary",
    "shards": "turn documents into token shards",
    "conversations": "read conversations and preference pairs, filter them, count everything, write them as tokens",
    "train": "run the recipe's training stages",
    "export": "write the model for other runtimes and compare it there with the checkpoint",
    "report": "make the report from what the other stages left",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="pellucid", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"pellucid {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    run = _command(commands, "run", "run", "run every stage of a recipe; what has not changed is skipped", "recipes/pocket.yaml")
    _recipe_arguments(run)
    run.add_argument("--only", metavar="RUN", action="append", default=[], help="of a study: make this run; may be given again")
    for name, text in _STAGES.items():
        stage = _command(commands, name, "run", text, "recipes/pocket.yaml")
        _recipe_arguments(stage)
        if name == "plan":
            stage.add_argument("--json", action="store_true", help="print the plan as JSON and write nothing")
            stage.add_argument(
                "--on",
                metavar="DEVICES",
                help="plan for these and write nothing: 512xA100-40GB, 8xH100, or here (this machine, measured)",
            )
        if name == "documents":
            _dropped_arguments(stage)

    _evaluate_arguments(
        _command(
            commands,
            "evaluate",
            "evaluate",
            "score a recipe's held-out documents in bits per byte; or run suites of benchmarks on any model",
            "runs/pocket --suite choices --data-dir bench --limit 200",
        )
    )

    launch = _command(
        commands,
        "launch",
        "launch",
        "write the job file that trains a recipe on several devices or machines: shell, Slurm or Kubernetes; submit nothing",
        "recipes/pocket.yaml --set launch.kind=local --set launch.devices_per_node=2 --set train.0.micro_seqs=8",
    )
    _recipe_arguments(launch)

    explain = _command(
        commands, "explain", "explain", "show a recipe resolved, and where each value comes from", "recipes/pocket.yaml"
    )
    explain.add_argument("recipe", metavar="RECIPE", help="recipe file (YAML)")
    _set_argument(explain)
    explain.add_argument("--json", action="store_true", help="print JSON instead of a table")

    tune = _command(
        commands,
        "tune",
        "tune",
        "measure which micro_seqs trains a recipe's stage fastest on this machine; write nothing",
        "recipes/pocket.yaml",
    )
    tune.add_argument("recipe", metavar="RECIPE", help="recipe file (YAML)")
    _set_argument(tune)
    tune.add_argument("--stage", metavar="NAME", help="training stage; the first when not given")
    tune.add_argument(
        "--memory-gib",
        type=float,
        metavar="X",
        help="memory that may be used (default: all of a GPU, 80 %% of what is free on a CPU)",
    )
    tune.add_argument("--json", action="store_true", help="print JSON instead of a table")

    _inspect_arguments(
        _command(
            commands, "inspect", "inspect", "open one training step, or the documents of a source", "runs/pocket --step 100 --text"
        )
    )

    watch_arguments(
        _command(
            commands,
            "watch",
            "watch",
            "see training while it goes on: in the terminal, on a local page, in TensorBoard, Weights & Biases or trackio",
            "runs/pocket --web",
        )
    )

    chat_arguments(
        _command(
            commands,
            "chat",
            "chat",
            "talk to a model in the terminal; a base model continues what you type",
            "runs/pocket --system 'Answer in one sentence.'",
        )
    )

    serve_arguments(
        _command(
            commands,
            "serve",
            "serve",
            "answer requests over HTTP, by OpenAI's interface, on this machine only unless a key is set",
            "runs/pocket/exports/gguf/model-F16.gguf --port 8000",
        )
    )

    throughput_arguments(
        _command(
            commands,
            "throughput",
            "throughput",
            "measure how fast a model runs, each export in its own program: tokens a second, memory, watts where the machine tells",
            "runs/pocket --threads 1 --batch 1 --batch 8",
        )
    )

    _compare_arguments(
        _command(
            commands,
            "compare",
            "compare",
            "show results of evaluation suites beside each other, with paired tests on the items that models share",
            "results/pocket results/smollm2 --printed --html compare.html",
        )
    )

    average = _command(
        commands, "average", "average", "average the weights of a stage's newest checkpoints", "runs/pocket --last 4"
    )
    average.add_argument("run", metavar="RUN", help="run folder")
    average.add_argument(
        "--last", type=int, metavar="K", help="how many of the newest good checkpoints (default: as many as the recipe keeps)"
    )
    average.add_argument("--stage", metavar="NAME", help="training stage; the last when not given")

    verify_arguments(
        _command(
            commands,
            "verify",
            "verify",
            "check a run, a release or a study from its folder alone: bytes, ledger, recipe, receipts, scores, exports, report",
            "runs/pocket --deep --replay 20",
        )
    )

    release_arguments(
        _command(
            commands,
            "release",
            "release",
            "write a folder to publish: artifacts, model card, data cards, openness class, bill of materials, digests",
            "runs/pocket release/pocket --set release.licence=Apache-2.0",
        )
    )

    show = _command(
        commands,
        "show",
        "show",
        "print an artifact's manifest: what it is and what it came from; of a run every attempt, and what all have cost",
        "runs/pocket/shards",
    )
    show.add_argument("artifact", metavar="DIR", help="artifact folder, or a run's")
    show.add_argument("--json", action="store_true", help="print the manifest as it is, or the account as JSON")

    doctor = _command(commands, "doctor", "doctor", "say what this machine can do and which extras are installed", "")
    doctor.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


class _Parser(argparse.ArgumentParser):
    """An argument parser that never guesses abbreviated flags, so that adding a flag breaks no one's script."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"allow_abbrev": False, **options})  # type: ignore[arg-type]


def _command(
    commands: "argparse._SubParsersAction[_Parser]", name: str, module: str, text: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example: pellucid {name} {example}".rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(module=module)
    return parser


def _recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="recipe file (YAML)")
    _set_argument(parser)
    parser.add_argument("--runs", metavar="DIR", default="runs", help="folder that holds the runs (default: runs)")


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="recipe (held-out text); or, for suites, a run, a checkpoint, a Hugging Face folder, a GGUF file, or the URL of an "
        "OpenAI-compatible endpoint",
    )
    parser.add_argument(
        "--suite",
        metavar="NAME",
        action="append",
        default=[],
        help="suite to run; may be given again. Without one the suites are listed",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder with the benchmarks' data, instead of packages or the hub")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N items of each task, chosen by the seed")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the choice of items, samples, bootstrap (default: 1)")
    parser.add_argument("--out", metavar="DIR", help="folder of the results (default: RUN/evals/MODEL, else evals/MODEL)")
    parser.add_argument("--judge", metavar="TARGET", help="the model that judges: a URL, or anything else that TARGET may be")
    parser.add_argument("--shards", metavar="RUN", help="look the items up in this run's shards (default: the model's own run)")
    parser.add_argument(
        "--allow-code-execution", action="store_true", help="let suites run programs that the model writes, in a sandbox"
    )
    parser.add_argument("--json", action="store_true", help="with suites: print the results as JSON")
    _set_argument(parser)
    parser.add_argument("--runs", metavar="DIR", default="runs", help="with a recipe: folder that holds the runs (default: runs)")


def _dropped_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--show-dropped",
        nargs="?",
        const="",
        metavar="REASON",
        help="then show what was dropped by source and reason, with samples; give a reason (or a part of it) to see more of one",
    )
    parser.add_argument("--json", action="store_true", help="print what was dropped as JSON")


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="a suite's folder, a folder with several, or a run")
    parser.add_argument(
        "--baseline", metavar="NAME", help="model that the others are compared with, by name or path (default: the first)"
    )
    parser.add_argument("--printed", action="store_true", help="add the rows that reports print, marked as printed")
    parser.add_argument("--every-metric", action="store_true", help="show every metric of a task, not the first one only")
    parser.add_argument("--html", metavar="FILE", help="write a page with tables, figures and items on which models disagree")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of bootstrap and permutation tests (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run folder")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--step", type=int, metavar="N", help="step of the training stage, counted from 1 as in metrics.jsonl")
    what.add_argument(
        "--documents", nargs="?", const="", metavar="SOURCE", help="documents of this source; of all sources, how many there are"
    )
    parser.add_argument("--stage", metavar="NAME", help="with --step: training stage; the first when not given")
    parser.add_argument("--heldout", action="store_true", help="with --documents: those that are held out")
    parser.add_argument(
        "--first",
        type=int,
        default=1,
        metavar="N",
        help="begin at this sequence of the step or document of the source (default: 1)",
    )
    parser.add_argument("--count", type=int, metavar="N", help="show so many (default: all sequences, ten documents)")
    parser.add_argument("--text", action="store_true", help="with --step: show how each document begins and ends in its sequence")
    parser.add_argument("--whole", action="store_true", help="show texts whole")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _set_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change one value, for example --set train.0.length_tokens=2e6; may be given again",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        arguments = build_parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 2
    # OpenMP reads this when it is loaded: before torch is imported.
    let_threads_sleep()
    command: Callable[[argparse.Namespace], int] = import_module(f"pellucid.cli.{arguments.module}").command
    try:
        return command(arguments)
    except PellucidError as error:
        _say(f"{type(error).__name__}: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        _say("\nStopped. What was finished is kept; give the same command again to continue.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _joined(argv: Sequence[str]) -> list[str]:
    """Return the arguments with `--on -1xH100` as one: argparse would take what begins with a minus for a flag and say no more."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--on" and re.match(r"-\d", argument):
            joined[-1] = f"--on={argument}"
        else:
            joined.append(argument)
    return joined


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def entry() -> None:
    """Console script."""
    sys.exit(main())
