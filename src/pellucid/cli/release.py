"""`pellucid release RUN DIR`: a folder to publish."""

import argparse
from pathlib import Path

from pellucid.cli.output import print_json, print_table, print_text
from pellucid.core.errors import UsageError
from pellucid.core.units import format_bytes
from pellucid.stages.release import Released, Wishes, release_run

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Release the run and say what is in it, what is left out, and how open it is."""
    run = Path(arguments.run)
    if not run.is_dir():
        raise UsageError(f"{run} is not a folder; give the folder of a run, for example runs/pocket")
    wishes = Wishes(
        without=arguments.without,
        checkpoints=arguments.checkpoints,
        settings=arguments.overrides,
        public=arguments.public,
        force=arguments.force,
        allow_faults=arguments.allow_faults,
    )
    released = release_run(run, Path(arguments.dir), wishes)
    if arguments.json:
        told = {name: getattr(released, name) for name in ("files", "bytes", "left_out", "openness", "faults")}
        print_json({"folder": str(released.folder), **told})
    else:
        _tell(released)
    return 0


def _tell(released: Released) -> None:
    print_text(f"{released.folder}: {released.files} files, {format_bytes(released.bytes)}")
    print_text(
        f"  openness   {released.openness['class_name']} (Model Openness Framework {released.openness['framework']['version']})"
    )
    for missing in released.openness["missing_for_next"]:
        print_text(f"  lacks      {missing['component']}: {missing['why']}")
    for fault in released.faults:
        print_text(f"  fault      {fault}")
    reasons: dict[str, list[int]] = {}
    for one in released.left_out:
        reasons.setdefault(one["why"], []).append(one["bytes"])
    if reasons:
        rows = ((why, len(sizes), format_bytes(sum(sizes))) for why, sizes in reasons.items())
        print_table(("\nleft out because", "\nfiles", "\nsize"), rows, right=(1, 2))
    print_text(f"\n  look at    {released.folder / 'README.md'}\n  type next  pellucid verify {released.folder}")
