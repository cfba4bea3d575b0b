"""Check: the ledger's chain holds, and what it says was made last is what lies there."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.artifacts import MANIFEST, Manifest
from pellucid.verify.evidence import FOLDERS, LEDGER, Evidence
from pellucid.verify.findings import Findings, guarded

__all__ = ["check_chain"]

_MADE, _CLOSED = ("end", "unchanged"), ("end", "unchanged", "stop", "failure", "killed")
_AGAIN = "give `pellucid run RECIPE` again, or restore the folder and the ledger from one copy"


def check_chain(evidence: Evidence) -> Findings:
    """Read the whole ledger; compare the last event that made each artifact with the artifact."""
    findings = Findings(
        "ledger", "no line was edited, added or taken out, and every stage's artifact is the one it ended with", "events"
    )
    findings.looked = len(evidence.events)
    if not evidence.has(LEDGER) and not evidence.artifacts and not evidence.damaged:
        return findings
    if evidence.has(LEDGER):
        findings.checked.append(LEDGER)
    if evidence.ledger_fault is not None:
        findings.faults.append(evidence.ledger_fault)
    guarded(findings, evidence.run / LEDGER, lambda: _check_artifacts(evidence, findings))
    guarded(findings, evidence.run / LEDGER, lambda: _note_open_attempts(evidence, findings))
    return findings


def _check_artifacts(evidence: Evidence, findings: Findings) -> None:
    """Each artifact was made by the event that made its folder last, and each such event's artifact is there."""
    made, begun = dict[str, Mapping[str, Any]](), dict[str, Mapping[str, Any]]()
    for event in evidence.events:
        folder = _folder(event)
        if folder is not None and event["event"] in _MADE:
            made[folder] = event
        elif folder is not None and event["event"] == "start":
            begun[folder] = event
    for folder, manifest in evidence.artifacts.items():
        if folder in made:
            _compare(evidence, folder, manifest, made[folder], begun.get(folder, {}), findings)
        elif _is_stage(evidence, folder):
            findings.fault(evidence.run / LEDGER, f"has no event that made {folder}", _AGAIN)
        elif ".superseded-" not in folder:
            findings.note(f"{folder} was made by a command of its own; no event of the ledger names it")
    for folder in made:
        missing = not any(name.startswith(f"{folder}/") for name in evidence.tree.files)
        if missing and folder not in evidence.without and f"{folder}/{MANIFEST}" not in evidence.left_out:
            findings.fault(evidence.run / folder, "is missing; the ledger tells of its end", _AGAIN)


def _compare(
    evidence: Evidence,
    folder: str,
    manifest: Manifest,
    event: Mapping[str, Any],
    start: Mapping[str, Any],
    findings: Findings,
) -> None:
    file = evidence.run / folder / MANIFEST
    told, found = event.get("manifest"), evidence.tree.digest(f"{folder}/{MANIFEST}")
    if told is not None and told != found:
        findings.fault(
            file, f"is not the one that the ledger's last {event['event']} names ({told[:12]}…, got {found[:12]}…)", _AGAIN
        )
    # Ledgers from before manifests were named in them tell of what was read and of what came out.
    if told is None and event["event"] == "end" and event.get("summary", {}) != manifest.summary:
        findings.fault(file, "has another summary than the ledger's end of that stage", _AGAIN)
    if start and event["event"] == "end" and start.get("inputs", manifest.inputs) != manifest.inputs:
        findings.fault(file, "has other inputs than the ledger's start of that stage", _AGAIN)


def _folder(event: Mapping[str, Any]) -> str | None:
    """Return the folder of the run that an event is about; None for what is about none."""
    folder = event.get("folder")
    if isinstance(folder, str):
        return folder.rstrip("/")
    stage = event.get("stage")
    return FOLDERS.get(stage, stage) if isinstance(stage, str) else None


def _is_stage(evidence: Evidence, folder: str) -> bool:
    """Tell whether a folder is one that a stage of the flow makes, to judge by its manifest's kind."""
    own = {stage.name for stage in evidence.training}
    return folder in own | {
        "plan",
        "documents",
        "tokenizer",
        "shards",
        "conversations",
        "scores",
        "exports",
        "benchmarks",
        "report",
    }


def _note_open_attempts(evidence: Evidence, findings: Findings) -> None:
    """Say of each stage how many attempts came to no end: they are no faults, and their cost counts."""
    failed, running = dict[str, int](), dict[str, int]()
    for event in evidence.events:
        stage, kind = event.get("stage"), event["event"]
        if not isinstance(stage, str):
            continue
        if kind == "start":
            # One that begins while another is open: that one was killed, and the ledger of then did not say so.
            failed[stage] = failed.get(stage, 0) + running.get(stage, 0)
            running[stage] = 1
        elif kind in _CLOSED and running.get(stage):
            running[stage] = 0
            failed[stage] = failed.get(stage, 0) + (kind in ("stop", "failure", "killed"))
    for stage in sorted({*failed, *running}):
        parts = [f"{failed[stage]} without a result"] if failed.get(stage) else []
        parts += ["one begun and not ended"] if running.get(stage) else []
        if parts:
            findings.note(f"attempts at {stage}: {', '.join(parts)}")
