"""`pellucid watch RUN…`: training as it goes on, in the terminal, on a local page, or handed to another tool."""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from pellucid.cli.output import open_console, print_json, print_text
from pellucid.core.errors import UsageError
from pellucid.watch.present import present
from pellucid.watch.run import RunWatch
from pellucid.watch.terminal import show, show_once

__all__ = ["command"]

_GIVE_WAY = 10
_LINES = 24


def command(arguments: argparse.Namespace) -> int:
    """Follow the runs' files until told to leave. The process that trains is never asked anything."""
    if not arguments.every_s > 0:
        raise UsageError(f"--every-s: got {arguments.every_s}; must be above 0")
    os.nice(_GIVE_WAY)  # whoever watches may be late; whoever trains may not
    runs = [RunWatch(Path(run)) for run in arguments.runs]
    for name, count in Counter(run.name for run in runs).items():
        if count > 1:
            for run in runs:
                run.name = str(run.path) if run.name == name else run.name
    try:
        _watch(runs, arguments)
    except KeyboardInterrupt:
        return 0  # the usual way to leave
    finally:
        for run in runs:
            run.close()
    return 0


def _watch(runs: list[RunWatch], arguments: argparse.Namespace) -> None:
    console = open_console()
    if arguments.json:
        print_json([_account(run) for run in runs])
    elif arguments.web:
        _serve(runs, arguments)
    elif arguments.to:
        _hand_over(runs, arguments)
    elif arguments.once or not sys.stdout.isatty() or console.is_dumb_terminal:  # a dumb one has no places to write at
        show_once(runs, console, min(console.width, 100) if not sys.stdout.isatty() else console.width, _LINES)
    else:
        show(runs, console, arguments.every_s)


def _hand_over(runs: list[RunWatch], arguments: argparse.Namespace) -> None:
    if len(runs) > 1:
        raise UsageError(f"--to takes one run at a time; got {len(runs)}: give the command once for each")
    from pellucid.watch.handing import hand_over, where

    folder = Path(arguments.dir) if arguments.dir else where(runs[0], arguments.to)
    hand_over(runs[0], arguments.to, folder, arguments.every_s, print_text)


def _serve(runs: list[RunWatch], arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.port < 65_536:
        raise UsageError(f"--port: got {arguments.port}; must be 1 to 65535, or 0 for any that is free")
    from pellucid.watch.server import PageServer

    with PageServer(runs, arguments.port) as server:
        print_text(f"{', '.join(run.name for run in runs)}: {server.address}/ (this machine only). Ctrl-C ends it.")
        server.serve_forever(poll_interval=60.0)


def _account(run: RunWatch) -> dict[str, object]:
    run.read_all()
    begun = [name for name, stage in run.stages.items() if stage.has_begun]
    stages = {name: present(run.stages[name], run.state(name)).as_json() for name in begun}
    return {
        "run": run.name,
        "at_work": run.current,
        "stages": stages,
        "not_begun": [name for name in run.stages if name not in begun],
    }
