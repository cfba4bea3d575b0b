"""Check: every file of every artifact is the one that its manifest tells of, and nothing lies there that nothing accounts for."""

from functools import cache

from pellucid.core.artifacts import KEY, MANIFEST, Manifest
from pellucid.core.ledger import LEDGER
from pellucid.core.released import RELEASE, SUMS
from pellucid.recipe.resolved import RECIPE_FILE
from pellucid.verify.evidence import FOLDERS, Evidence
from pellucid.verify.findings import Findings
from pellucid.verify.tree import is_hidden

__all__ = ["check_digests"]

# Files of a run that lie in no artifact. Others look at what is in them.
_KNOWN = {LEDGER, RECIPE_FILE, "chat_template.jinja"}
# Job files, which `pellucid launch` writes for a scheduler and nothing of the run is made from.
_JOBS, _MOST_NAMED = "launch/", 8
_AGAIN = "restore it from a copy, or delete {folder} and give `pellucid run RECIPE` again"


def check_digests(evidence: Evidence) -> Findings:
    """Read every byte: digests against manifests, each manifest against its own digest, and each file against them all."""
    findings = Findings("files", "every byte of every artifact is the one that its manifest has a digest of", "files")
    evidence.tree.digest_all()
    for folder, manifest in evidence.artifacts.items():
        findings.checked.append(folder)
        _check_artifact(evidence, folder, manifest, findings)
    for text in evidence.damaged.values():
        findings.faults.append(text)
    _check_loose(evidence, findings)
    _check_strange(evidence, findings)
    return findings


def _check_artifact(evidence: Evidence, folder: str, manifest: Manifest, findings: Findings) -> None:
    tree, again = evidence.tree, _AGAIN.format(folder=evidence.run / folder)
    left_out = 0
    for name, output in manifest.outputs.items():
        file = f"{folder}/{name}"
        findings.looked += 1
        if evidence.is_left_out(file):
            told = evidence.left_out[file]
            left_out += 1
            if (told.get("bytes"), told.get("sha256")) != (output["bytes"], output["sha256"]):
                findings.fault(evidence.run / RELEASE, f"leaves out another {file} than {folder}/{MANIFEST} tells of", again)
        elif file not in tree.files:
            findings.fault(tree.path(file), "is missing", again)
        elif tree.files[file] != output["bytes"]:
            findings.fault(tree.path(file), f"has {tree.files[file]} bytes, its manifest says {output['bytes']}", again)
        elif tree.digest(file) != output["sha256"]:
            said, found = output["sha256"][:12], tree.digest(file)[:12] or "unreadable"
            findings.fault(
                tree.path(file), f"was altered: its sha256 is not the one in the manifest (expected {said}…, got {found}…)", again
            )
    if left_out:
        findings.note(f"{folder}: {left_out} files are left out of this release, as {RELEASE} says, and were not looked at")
    for file in tree.files:
        inside = file.removeprefix(f"{folder}/") if file.startswith(f"{folder}/") else None
        if inside is not None and inside not in manifest.outputs and inside not in (MANIFEST, KEY):
            findings.fault(tree.path(file), "is not in the manifest", "nothing accounts for it: take it away")


def _check_loose(evidence: Evidence, findings: Findings) -> None:
    """Name every file that lies in no artifact, unless it is known or the release's list has it."""
    folders = tuple(f"{folder}/" for folder in (*evidence.artifacts, *evidence.damaged))
    hidden, building, lost, jobs = set(), set(), set(), list[str]()
    named = _stage_folders(evidence)
    # Names of a hostile folder may be many: each place is asked about once.
    is_building = cache(evidence.is_building)
    for name in evidence.tree.files:
        top, _, below = name.partition("/")
        parent = "/".join(name.split("/")[:3])
        if name.startswith(folders) or name in _KNOWN or name.rpartition("/")[2] == ".lock":
            continue
        if name.startswith(_JOBS) and not evidence.is_release:
            jobs.append(name)
        elif is_hidden(name):
            hidden.add(top)
        elif below and (is_building(top) or is_building(parent)):
            building.add(top if is_building(top) else parent)
        elif below and top in named:
            lost.add(top)
        elif not evidence.is_release:  # there the list of digests accounts for it, and its check says otherwise
            findings.fault(evidence.tree.path(name), "is not in any manifest", "nothing accounts for it: take it away")
    if jobs:
        named_jobs = ", ".join(jobs[:_MOST_NAMED]) + (f" and {len(jobs) - _MOST_NAMED} more" if len(jobs) > _MOST_NAMED else "")
        findings.note(f"job files, of which nothing here has a digest; read them before you submit one: {named_jobs}")
    for folder in sorted(lost):
        findings.fault(evidence.run / folder / MANIFEST, "is missing", _AGAIN.format(folder=evidence.run / folder))
    findings.notes += [f"{folder} is still being made; its files were not looked at" for folder in sorted(building)]
    findings.notes += [f"{name} is what an interrupted write left; it was not looked at" for name in sorted(hidden)]


def _stage_folders(evidence: Evidence) -> set[str]:
    """Return the folders of the stages that the ledger tells of: what lies there has had a manifest."""
    stages = {event["stage"] for event in evidence.events if isinstance(event.get("stage"), str)}
    return {FOLDERS.get(stage, stage) for stage in stages}


def _check_strange(evidence: Evidence, findings: Findings) -> None:
    tree = evidence.tree
    for name in tree.links:
        findings.fault(tree.path(name), "is a link, and is not followed", "a run holds files alone: put the file there, or nothing")
    for name in tree.others:
        findings.fault(tree.path(name), "is no regular file (a pipe, a socket or a device), and is not opened", "take it away")
    for name, why in tree.unreadable.items():
        findings.fault(tree.path(name), f"cannot be read: {why}", "see who may read it")
    if SUMS not in tree.files and RELEASE in tree.files:
        findings.fault(tree.path(SUMS), f"is missing, though {RELEASE} is there", "fetch the release again")
