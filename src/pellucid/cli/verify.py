"""`pellucid verify RUN`: does everything still hold that the run says of itself?"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from pellucid.cli.output import print_json, print_table, print_text
from pellucid.core.errors import UsageError
from pellucid.recipe.resolved import STUDY_FILE
from pellucid.stages.verify import Verification, verify_run

if TYPE_CHECKING:
    from pellucid.stages.replay import Replay

__all__ = ["command"]

_MOST_FAULTS = 200
_GIVE = "give the folder of a run, for example runs/pocket"


def command(arguments: argparse.Namespace) -> int:
    """Make all checks; list what does not hold; 1 when anything does not, or when there is nothing to check."""
    run = Path(arguments.run)
    if not run.is_dir():
        raise UsageError(f"{run} is not a folder; {_GIVE}")
    if arguments.replay is None and (arguments.seed, arguments.stage, arguments.step) != (None, None, None):
        raise UsageError("--seed, --stage and --step say where a replay begins; give --replay N as well")
    if (run / STUDY_FILE).is_file():
        return _study(run, arguments)
    result, opened = verify_run(run, deep=arguments.deep), list[str]()
    if not result.checked:
        result = replace(result, notes=[*result.notes, f"there is nothing to check in {run}: no artifact and no ledger; {_GIVE}"])
    if arguments.exports:
        # What opens models imports torch; digests alone need none.
        from pellucid.stages.certificates import repeat_certificates

        opened, faults = repeat_certificates(run)
        result = replace(result, checked=[*result.checked, *opened], faults=[*result.faults, *faults])
    replayed = _replayed(run, arguments, result)
    if replayed is not None:
        result = replace(result, faults=[*result.faults, *replayed.faults])
    elif arguments.replay is not None:
        result = replace(result, notes=[*result.notes, "not trained again: the run does not hold as it lies there"])
    return _tell(arguments, result, opened, replayed)


def _tell(arguments: argparse.Namespace, result: Verification, opened: list[str], replayed: "Replay | None") -> int:
    """Print what was found; return the exit status."""
    if arguments.json:
        print_json(_as_json(result, replayed))
    else:
        _print(result, opened, replayed)
    return 1 if result.faults or not result.checked else 0


def _study(folder: Path, arguments: argparse.Namespace) -> int:
    """Check a study with all its runs."""
    if arguments.exports or arguments.replay is not None:
        raise UsageError(f"--exports and --replay are for one run, and {folder} is a study; give one of {folder / 'runs'}")
    # Its analyses and pages need the extra `study`; runs alone do not.
    from pellucid.stages.study_verify import verify_study

    result = verify_study(folder, deep=arguments.deep)
    if not result.checked:
        result = replace(result, notes=[*result.notes, f"there is nothing to check in {folder}: no run and no results"])
    return _tell(arguments, result, [], None)


def _replayed(run: Path, arguments: argparse.Namespace, result: Verification) -> "Replay | None":
    """Train again what was asked for, unless the run does not hold: bits of what was altered prove nothing."""
    if arguments.replay is None or result.faults:
        return None
    from pellucid.stages.replay import replay

    return replay(run, arguments.replay, seed=arguments.seed, stage=arguments.stage, step=arguments.step)


def _as_json(result: Verification, replayed: "Replay | None") -> dict[str, Any]:
    return {
        "checked": result.checked,
        "faults": result.faults,
        "notes": result.notes,
        "checks": [asdict(one) for one in result.checks],
        "replay": None if replayed is None else asdict(replayed),
        "seconds": result.seconds,
    }


def _print(result: Verification, opened: list[str], replayed: "Replay | None") -> None:
    rows = [
        (_mark(not one.faults), one.name, f"{one.looked:,} {one.unit}".replace(",", " "), one.proves)
        for one in result.checks
        if one.looked or one.faults
    ]
    if rows:
        print_table(("", "check", "looked at", "what holds"), rows, right=(2,))
    for note in result.notes:
        print_text(f"note: {note}")
    for one in opened:
        print_text(f"opened again: {one}")
    if replayed is not None:
        _print_replay(replayed)
    for fault in result.faults[:_MOST_FAULTS]:
        print_text(f"does not hold: {fault}")
    if len(result.faults) > _MOST_FAULTS:
        print_text(f"… and {len(result.faults) - _MOST_FAULTS} more; --json has them all")
    print_text(f"{len(result.checked)} artifacts checked, {len(result.faults)} faults, {result.seconds:.1f} s")


def _print_replay(replayed: "Replay") -> None:
    for note in replayed.notes:
        print_text(f"note: {note}")
    what = f"{replayed.steps} steps of {replayed.stage} after step {replayed.from_step}"
    state = f", the state at {', '.join(replayed.checkpoints)}" if replayed.checkpoints else ""
    if not replayed.faults:
        print_text(f"trained again: {what}: {replayed.values} figures{state} the same to the last bit, {replayed.seconds:.1f} s")
    elif replayed.notes:
        print_text(f"trained again: {what}: other bits; what is noted above may be why")
    else:
        print_text(f"trained again: {what}: other bits, on a machine that says the same of itself")


def _mark(holds: bool) -> Text:
    return Text("✓", style="green") if holds else Text("✗", style="red")
