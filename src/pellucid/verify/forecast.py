"""Check: the plan is what this recipe's forecast gives, worked out again (`--deep`), and was there before the training."""

from collections.abc import Mapping
from typing import Any

import orjson

from pellucid.core.attempts import attempts_of, made_before
from pellucid.core.environment import code_version, source_of
from pellucid.core.ledger import LEDGER
from pellucid.plan.devices import read_devices
from pellucid.plan.plan import make_plan
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded

__all__ = ["check_plan"]

_PLAN, _MACHINE = "plan/plan.json", "plan/machine.json"
_MANY_FAULTS = 20
_AGAIN = "give `pellucid plan RECIPE` or `pellucid run RECIPE` again"


def check_plan(evidence: Evidence) -> Findings:
    """Make the plan again and compare all of it; say of which stages it came too late to be a forecast."""
    findings = Findings("plan", "the plan is what the recipe's forecast gives when it is made again", "figures")
    if "plan" in evidence.artifacts and evidence.ledger_fault is None:
        guarded(findings, evidence.run / LEDGER, lambda: _note_order(evidence, findings))
    if not evidence.deep:
        findings.note("the plan is made again with --deep")
    elif evidence.recipe is not None and "plan" in evidence.artifacts and evidence.has(_PLAN):
        findings.checked.append(_PLAN)
        guarded(findings, evidence.run / _PLAN, lambda: _check(evidence, findings))
    return findings


def _note_order(evidence: Evidence, findings: Findings) -> None:
    """Tell by the ledger's order of lines. No fault: a changed recipe makes a new plan beside training as it was."""
    attempts, names = attempts_of(evidence.events), [stage.name for stage in evidence.training]
    late = [name for name in names if made_before(attempts, "plan", name) is False]
    again = [name for name in names if name not in late and made_before(attempts, "plan", name, ever=True) is False]
    if late:
        told = f"the plan was made after training had begun: {', '.join(late)}. What it says of that is no forecast"
        findings.note(f"{told}; a change of the recipe makes a new plan, and so would somebody who knew what came out")
    if again:
        told = f"the plan was made before the training that lies here, but after an earlier one: {', '.join(again)}"
        findings.note(f"{told}. That one's figures may have been known")


def _check(evidence: Evidence, findings: Findings) -> None:
    assert evidence.recipe is not None
    sizes = evidence.artifacts["plan"].config.get("available_tokens")
    # A plan for the machine that made it has kept what that machine was measured to be.
    here = read_devices(evidence.tree.json(_MACHINE)) if evidence.has(_MACHINE) else None
    # As it reads back: the file holds JSON values.
    wanted, found = orjson.loads(orjson.dumps(make_plan(evidence.recipe, sizes, here))), evidence.tree.json(_PLAN)
    places = list(_unequal(wanted, found))
    findings.looked = _count(wanted)
    made, ours = (source_of(version) for version in (evidence.artifacts["plan"].code_version, code_version()))
    if made == ours:
        for place, expected, got in places[:_MANY_FAULTS]:
            findings.fault(evidence.run / _PLAN, f"{place}: the recipe gives {expected!r:.60}; got {got!r:.60}", _AGAIN)
    elif places:
        # What a forecast counts and how it is laid out may change between versions; only the same one must say the same.
        told = f"{len(places)} of {findings.looked} figures are others here, {places[0][0]} first"
        findings.note(f"{_PLAN} was made by {made}, and this is {ours}: {told}")


def _unequal(wanted: Any, found: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        names = [*wanted, *(name for name in found if name not in wanted)]
        pairs = [(f"{place}.{name}" if place else name, wanted.get(name), found.get(name)) for name in names]
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = [(f"{place}[{n}]", one, other) for n, (one, other) in enumerate(zip(wanted, found, strict=True))]
    else:
        return [] if wanted == found else [(place, wanted, found)]
    return [one for name, a, b in pairs for one in _unequal(a, b, name)]


def _count(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 1
