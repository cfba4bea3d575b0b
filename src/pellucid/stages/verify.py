"""Check a finished run from its folder alone: files against manifests and certificates, and the chain of the ledger."""

from dataclasses import dataclass
from pathlib import Path

from pellucid.core.artifacts import KEY, MANIFEST, find_faults
from pellucid.core.errors import ArtifactError
from pellucid.core.files import is_inside, read_json
from pellucid.core.ledger import read_ledger
from pellucid.export.certificate import changed_files

__all__ = ["Verification", "verify_run"]

# Where artifacts lie in a run: stages', averages of checkpoints, suites run by hand.
_ARTIFACTS = ("*", "averages/*/*", "evals/*/*")

# The stages whose folders have another name than they.
_FOLDERS = {"evaluate": "scores", "export": "exports"}


@dataclass(frozen=True)
class Verification:
    """What was looked at and what does not hold, one line each."""

    checked: list[str]
    faults: list[str]


def verify_run(run: Path) -> Verification:
    """Read every byte of every artifact under `run` and compare it with its manifest; check the ledger's chain.

    Exports are compared with their certificates as well. A stage's folder without a manifest is a fault, unless the stage is still
    being built there.
    """
    checked, faults = [], []
    for manifest in sorted(found for places in _ARTIFACTS for found in run.glob(f"{places}/{MANIFEST}")):
        checked.append(str(manifest.parent.relative_to(run)))
        try:
            faults += find_faults(manifest.parent)
        except ArtifactError as error:
            faults.append(str(error))
    faults += _changed_exports(run / "exports")
    ledger = run / "ledger.jsonl"
    if ledger.is_file():
        checked.append("ledger.jsonl")
        try:
            stages = {event["stage"] for event in read_ledger(ledger) if "stage" in event}
            folders = sorted(run / _FOLDERS.get(stage, stage) for stage in stages)
            # What is being made lies elsewhere, or holds a key: an artifact with neither has lost its manifest.
            faults += [f"{folder / MANIFEST} is missing" for folder in folders if folder.is_dir() and not _accounted(folder)]
        except ArtifactError as error:
            faults.append(str(error))
    elif checked:
        faults.append(f"{ledger} is missing")
    return Verification(checked, faults)


def _changed_exports(exports: Path) -> list[str]:
    """Compare each export with its own certificate: a manifest that was made anew for altered files does not hide them."""
    try:
        entries = read_json(exports / "export.json")["formats"] if (exports / "export.json").is_file() else {}
        certified = [(exports / one["place"], one["certificate"]) for one in entries.values() if one.get("certificate")]
        outside = [one["place"] for one in entries.values() if not is_inside(one["place"])]
        if outside:
            return [f"{exports / 'export.json'}: place: got {outside[0]!r}; must be a folder or a file inside {exports}"]
        return [f"{path}: {line}" for path, certificate in certified for line in changed_files(certificate, path)]
    except (ArtifactError, KeyError, TypeError, AttributeError) as error:
        return [f"{exports / 'export.json'} cannot be read as certificates: {error}"]


def _accounted(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or (folder / KEY).is_file()
