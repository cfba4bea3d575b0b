"""`pellucid show DIR`: an artifact's manifest, or a run's account."""

import argparse
from dataclasses import asdict
from pathlib import Path

from pellucid.cli.output import print_json, print_table, print_text
from pellucid.core.artifacts import MANIFEST, read_manifest
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.ledger import LEDGER
from pellucid.core.units import format_bytes, format_duration

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Print what an artifact is, what it came from and what it holds; of a run, what was done in it and what that cost."""
    folder = Path(arguments.artifact)
    if (folder / LEDGER).is_file() and not (folder / MANIFEST).is_file():
        from pellucid.cli.show_account import show_account

        show_account(folder, as_json=arguments.json)
        return 0
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; give that of a run or of an artifact in it, as runs/pocket/pretrain")
    if not (folder / MANIFEST).is_file():
        raise ArtifactError(f"{folder} is neither a run nor a finished artifact: it has no {LEDGER} and no {MANIFEST}")
    manifest = read_manifest(folder)
    if arguments.json:
        print_json(asdict(manifest))
        return 0
    print_text(f"{manifest.kind}, made {manifest.started_at} in {format_duration(manifest.seconds)} by {manifest.code_version}")
    print_table(("input", "digest"), ((name, digest[:16]) for name, digest in manifest.inputs.items()))
    files = ((name, format_bytes(output["bytes"]), output["sha256"][:16]) for name, output in manifest.outputs.items())
    print_table(("file", "size", "sha256"), files, right=(1,))
    if manifest.summary:
        print_json(manifest.summary)
    return 0
