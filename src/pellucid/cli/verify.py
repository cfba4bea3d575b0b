"""`pellucid verify RUN`: does everything still hold that the manifests say?"""

import argparse
from pathlib import Path

from pellucid.cli.output import print_json, print_text
from pellucid.core.errors import UsageError
from pellucid.stages.verify import Verification, verify_run

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Check digests, certificates and the ledger's chain; list what does not hold; 1 when anything does not."""
    run = Path(arguments.run)
    if not run.is_dir():
        raise UsageError(f"{run} is not a folder; give the folder of a run, for example runs/pocket")
    result, opened = verify_run(run), list[str]()
    if arguments.exports:
        # What opens models imports torch; digests alone need none.
        from pellucid.stages.certificates import repeat_certificates

        opened, faults = repeat_certificates(run)
        result = Verification([*result.checked, *opened], [*result.faults, *faults])
    if arguments.json:
        print_json({"checked": result.checked, "faults": result.faults})
    else:
        for one in opened:
            print_text(f"opened again: {one}")
        for fault in result.faults:
            print_text(f"does not hold: {fault}")
        print_text(f"{len(result.checked)} artifacts checked, {len(result.faults)} faults")
    return 1 if result.faults or not result.checked else 0
