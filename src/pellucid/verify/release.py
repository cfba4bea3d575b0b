"""Check: a released folder holds exactly what its `SHA256SUMS` lists, byte by byte, and lacks only what `release.json` says."""

from pellucid.core.files import is_inside
from pellucid.core.released import RELEASE, SUMS, read_line
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded

__all__ = ["check_release"]

_FETCH = "fetch the release again"


def check_release(evidence: Evidence) -> Findings:
    """Compare all files but the list itself with it, both ways."""
    findings = Findings("release", "SHA256SUMS lists every file of the release, and each is the one that it lists", "files")
    if evidence.is_release:
        guarded(findings, evidence.run / SUMS, lambda: _check_sums(evidence, findings))
        guarded(findings, evidence.run / RELEASE, lambda: _check_left_out(evidence, findings))
    else:
        findings.note(f"no release: it has no {RELEASE}")
    return findings


def _check_sums(evidence: Evidence, findings: Findings) -> None:
    tree = evidence.tree
    if SUMS not in tree.files:
        return  # told with the files
    findings.checked.append(SUMS)
    sums, listed, before = tree.path(SUMS), dict[str, str](), ""
    *lines, rest = tree.read(SUMS).decode("utf-8", "surrogateescape").split("\n")
    for number, line in enumerate([*lines, *([f"{rest} (cut short)"] if rest else [])], start=1):
        read = read_line(line)
        if read is None or read[0] <= before:
            what = "is no digest and name" if read is None else "is not in the order of names"
            findings.fault(sums, f"was altered: line {number} {what}", _FETCH)
            continue
        name, digest = read
        listed[name], before = digest, name
    for name, digest in listed.items():
        findings.looked += 1
        found = tree.digest(name) if name in tree.files else ""
        if name not in tree.files:
            findings.fault(tree.path(name), f"is missing; {sums} lists it", _FETCH)
        elif found != digest and found == _told_by_manifest(evidence, name):
            findings.fault(sums, f"was altered: it has {digest[:12]}… for {name}, which is as its manifest says", _FETCH)
        elif found != digest:
            told = f"is not the file that {sums} lists (expected {digest[:12]}…, got {found[:12] or 'unreadable'}…)"
            findings.fault(tree.path(name), told, _FETCH)
    for name in tree.files:
        if name not in listed and name != SUMS:
            findings.fault(tree.path(name), f"is not in {sums}", f"it is no part of the release: take it away, or {_FETCH}")


def _told_by_manifest(evidence: Evidence, name: str) -> str | None:
    """Return the digest that an artifact's manifest has for a file of it."""
    for folder, manifest in evidence.artifacts.items():
        if name.startswith(f"{folder}/") and (output := manifest.outputs.get(name.removeprefix(f"{folder}/"))) is not None:
            return str(output["sha256"])
    return None


def _check_left_out(evidence: Evidence, findings: Findings) -> None:
    if RELEASE not in evidence.tree.files:
        return  # a list without it is told by the list
    findings.checked.append(RELEASE)
    left_out = evidence.tree.json(RELEASE)["left_out"]
    for one in left_out:
        if not is_inside(one["path"]) or not isinstance(one["sha256"], str) or not isinstance(one["bytes"], int):
            findings.fault(evidence.run / RELEASE, f"left_out: {one!r:.200} must have path (inside), bytes, sha256 and why", _FETCH)
    if left_out:
        total = sum(one["bytes"] for one in left_out)
        findings.note(f"{len(left_out)} files ({total} bytes) are left out of this release; {RELEASE} says why")
