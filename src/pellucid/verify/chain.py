"""Check: the ledger's chain holds, and what it says was made last is what lies there."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pellucid.core.artifacts import MANIFEST, Manifest
from pellucid.core.attempts import attempts_of
from pellucid.core.ledger import LEDGER
from pellucid.verify.evidence import ENDS, Evidence, folder_of
from pellucid.verify.findings import Findings, guarded

__all__ = ["check_chain"]

_OF_THE_FLOW = frozenset(
    {"plan", "documents", "tokenizer", "shards", "conversations", "scores", "exports", "benchmarks", "account", "report"}
)
_WITHOUT_RESULT = {"stop": "stopped", "failure": "failed", "killed": "killed", "running": "begun and not ended"}
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
    guarded(findings, evidence.run / LEDGER, lambda: _note_attempts(evidence, findings))
    return findings


def _check_artifacts(evidence: Evidence, findings: Findings) -> None:
    """Each artifact was made by the event that made its folder last, and each such event's artifact is there."""
    made, begun = dict[str, Mapping[str, Any]](), dict[str, Mapping[str, Any]]()
    for event in evidence.events:
        folder = folder_of(event)
        if folder is not None and event.get("event") in ENDS:
            made[folder] = event
        elif folder is not None and event.get("event") == "start":
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
        if not missing or folder in evidence.without or f"{folder}/{MANIFEST}" in evidence.left_out:
            continue
        if _is_stage(evidence, folder):
            findings.fault(evidence.run / folder, "is missing; the ledger tells of its end", _AGAIN)
        else:
            findings.note(f"{folder}, which a command of its own made, is not there any more")


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


def _is_stage(evidence: Evidence, folder: str) -> bool:
    """Tell whether a folder is one that a stage of the flow makes."""
    return folder in _OF_THE_FLOW or any(stage.name == folder for stage in evidence.training)


def _note_attempts(evidence: Evidence, findings: Findings) -> None:
    """Say of each stage how many attempts came to no result: they are no faults, and their cost counts."""
    found: dict[str, Counter[str]] = {}
    for one in attempts_of(evidence.events):
        found.setdefault(one.stage, Counter())[one.outcome] += 1
    for stage, outcomes in sorted(found.items()):
        parts = [f"{outcomes[outcome]} {told}" for outcome, told in _WITHOUT_RESULT.items() if outcomes[outcome]]
        if parts:
            findings.note(f"attempts at {stage}: {', '.join(parts)}")
