"""Check: every export is byte by byte what its certificate was made of, though a manifest may have been made anew."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.files import is_inside
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded

__all__ = ["check_certificates"]

_FILE = "exports/export.json"
_AGAIN = "give `pellucid export RECIPE` again"


def check_certificates(evidence: Evidence) -> Findings:
    """Compare each export's files with its certificate, and the certified checkpoint with the run's last."""
    findings = Findings(
        "exports", "every export is the one that its certificate was made of, and the certificate has passed", "files"
    )
    if evidence.has(_FILE):
        findings.checked.append(_FILE)
        guarded(findings, evidence.run / _FILE, lambda: _check_all(evidence, findings))
    return findings


def _check_all(evidence: Evidence, findings: Findings) -> None:
    told = evidence.tree.json(_FILE)
    for name, entry in told["formats"].items():
        if not is_inside(entry["place"]):
            findings.fault(
                evidence.run / _FILE, f"place: got {entry['place']!r}; must be a folder or a file inside exports", _AGAIN
            )
        elif entry.get("certificate"):
            _check_one(evidence, name, f"exports/{entry['place']}", entry["certificate"], findings)
    last = evidence.manifest(evidence.training[-1].name) if evidence.training else None
    if last is not None and told.get("checkpoint_step") != last.summary.get("steps"):
        what = f"checkpoint_step: the last stage ended at {last.summary.get('steps')}; got {told.get('checkpoint_step')}"
        findings.fault(evidence.run / _FILE, what, _AGAIN)


def _check_one(evidence: Evidence, name: str, place: str, certificate: Mapping[str, Any], findings: Findings) -> None:
    tree = evidence.tree
    # One file is certified by its own name, a folder by the names in it.
    inside = [file for file in tree.files if file.startswith(f"{place}/")]
    base = place if inside else place.rpartition("/")[0]
    files = inside or [place]
    found = {file.removeprefix(f"{base}/"): file for file in files if file in tree.files}
    if certificate["passed"] is not True:
        findings.fault(evidence.run / _FILE, f"the certificate of {name} did not pass", _AGAIN)
    for inner, facts in certificate["files"].items():
        findings.looked += 1
        if inner not in found:
            if not evidence.is_left_out(f"{base}/{inner}"):
                findings.fault(tree.path(f"{base}/{inner}"), f"is missing; the certificate of {name} is of it", _AGAIN)
        elif tree.digest(found[inner]) != facts["sha256"]:
            findings.fault(tree.path(found[inner]), f"is not the file that was certified as {name}", _AGAIN)
    for inner in sorted(found.keys() - certificate["files"].keys()):
        findings.fault(tree.path(found[inner]), f"was not there when {name} was certified", _AGAIN)
