"""Check a finished run from its folder alone: files against manifests, and the chain of the ledger."""

from dataclasses import dataclass
from pathlib import Path

from pellucid.core.artifacts import find_faults
from pellucid.core.errors import ArtifactError
from pellucid.core.ledger import read_ledger

__all__ = ["Verification", "verify_run"]


@dataclass(frozen=True)
class Verification:
    """What was looked at and what does not hold, one line each."""

    checked: list[str]
    faults: list[str]


def verify_run(run: Path) -> Verification:
    """Read every byte of every artifact under `run` and compare it with its manifest; check the ledger's chain."""
    checked, faults = [], []
    for manifest in sorted([*run.glob("*/manifest.json"), *run.glob("averages/*/*/manifest.json")]):
        checked.append(str(manifest.parent.relative_to(run)))
        try:
            faults += find_faults(manifest.parent)
        except ArtifactError as error:
            faults.append(str(error))
    ledger = run / "ledger.jsonl"
    if ledger.is_file():
        checked.append("ledger.jsonl")
        try:
            for _ in read_ledger(ledger):
                pass
        except ArtifactError as error:
            faults.append(str(error))
    elif checked:
        faults.append(f"{ledger} is missing")
    return Verification(checked, faults)
