"""Check: every score that is printed is what the records of its single items give: documents, items of suites, items of curves."""

import math
from collections.abc import Mapping
from typing import Any

from pellucid.core.scores import ITEMS, RESULT
from pellucid.evals.curves import summarise_curves
from pellucid.evals.records import DocumentScore, summarise_heldout
from pellucid.evals.results import read_records, summarise
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded

__all__ = ["check_scores"]

_AGAIN = "restore the folder from a copy, or score again"
# Other machines add up in another order; no more than that may differ.
_RELATIVE = 1e-9
_MAX_ITEMS_BYTES = 1 << 28
_DOCUMENTS = "scores/heldout.documents.jsonl"
# Not made of items alone: what the training text holds, and fits, which end a little elsewhere on another machine.
_PASSED_OVER = {"clean", "forecast", "seconds", "seconds_around", "share_of_training"}


def check_scores(evidence: Evidence) -> Findings:
    """Work out bits per byte, the tables of suites and the curves again, from the records and by what made them the first time."""
    findings = Findings("scores", "every score is what the records of its single items give", "figures")
    if "scores" in evidence.artifacts:
        guarded(findings, evidence.run / "scores/heldout.json", lambda: _check_heldout(evidence, findings))
    for name in evidence.tree.files:
        folder, _, file = name.rpartition("/")
        if file == RESULT and evidence.has(f"{folder}/{ITEMS}") and folder.split("/")[0] in ("evals", "benchmarks"):
            guarded(findings, evidence.run / name, lambda f=folder: _check_suite(evidence, f, findings))  # type: ignore[misc]
    for stage in evidence.training:
        if stage.curves is not None and stage.name in evidence.artifacts and evidence.has(f"{stage.name}/curves.json"):
            where, gain = evidence.run / stage.name / "curves.json", stage.curves.min_gain
            guarded(findings, where, lambda n=stage.name, g=gain: _check_curves(evidence, n, g, findings))  # type: ignore[misc]
    return findings


def _check_heldout(evidence: Evidence, findings: Findings) -> None:
    if not evidence.has(_DOCUMENTS):
        findings.note(f"{_DOCUMENTS} is not there, so bits per byte cannot be worked out")
        return
    findings.checked.append("scores/heldout.json")
    scores = [DocumentScore(**record) for record in evidence.tree.records(_DOCUMENTS)]
    table = evidence.tree.json("scores/heldout.json")["bits_per_byte"]
    wanted = summarise_heldout({"model": scores}, {})
    _compare(evidence, "scores/heldout.json", "bits_per_byte", wanted, table, findings, more=frozenset({"ngram", "xz"}))


def _check_suite(evidence: Evidence, folder: str, findings: Findings) -> None:
    items, file = f"{folder}/{ITEMS}", f"{folder}/{RESULT}"
    if evidence.tree.files[items] >= _MAX_ITEMS_BYTES:
        findings.note(f"{items} is above {_MAX_ITEMS_BYTES} bytes, and was not gone through")
        return
    findings.checked.append(file)
    result = evidence.tree.json(file)
    records = read_records(evidence.tree.path(items))
    wanted = summarise(records, result["setting"]["seed"])
    _compare(evidence, file, "tasks", wanted, result["tasks"], findings)


def _check_curves(evidence: Evidence, stage: str, min_gain: float | None, findings: Findings) -> None:
    lines, items, file = (f"{stage}/{name}" for name in ("curves.jsonl", "curves.items.json", "curves.json"))
    if not (evidence.has(lines) and evidence.has(items)) or evidence.recipe is None:
        findings.note(f"{lines} or {items} is not there, so the curves cannot be worked out")
        return
    findings.checked.append(file)
    wanted = summarise_curves(list(evidence.tree.records(lines)), evidence.tree.json(items), evidence.recipe.seed, min_gain)
    _compare(evidence, file, "", wanted, evidence.tree.json(file), findings)


def _compare(
    evidence: Evidence, file: str, place: str, wanted: Any, found: Any, findings: Findings, more: frozenset[str] = frozenset()
) -> None:
    """Note each figure that the records do not give; `more` are names that the records know nothing of."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        passed = _PASSED_OVER | more
        for name in [*wanted, *(name for name in found if name not in wanted)]:
            if name not in passed:
                at = f"{place}.{name}" if place else str(name)
                _compare(evidence, file, at, wanted.get(name), found.get(name), findings, more)
        return
    if isinstance(wanted, (list, tuple)) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            _compare(evidence, file, f"{place}[{number}]", one, other, findings, more)
        return
    findings.looked += 1
    if not _same(wanted, found):
        findings.fault(evidence.run / file, f"{place}: the records of items give {wanted!r:.60}; got {found!r:.60}", _AGAIN)


def _same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, (int, float)) and not isinstance(found, bool):
        return math.isclose(wanted, found, rel_tol=_RELATIVE, abs_tol=1e-12)
    if isinstance(wanted, float) and math.isnan(wanted):
        return found is None  # as JSON writes it
    return bool(wanted == found)
