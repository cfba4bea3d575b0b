"""Check: the plan is what this recipe's forecast gives, worked out again (`--deep`)."""

from collections.abc import Mapping
from typing import Any

import orjson

from pellucid.core.environment import code_version
from pellucid.plan.plan import make_plan
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded

__all__ = ["check_plan"]

_PLAN = "plan/plan.json"
_MANY_FAULTS = 20
_AGAIN = "give `pellucid plan RECIPE` or `pellucid run RECIPE` again"


def check_plan(evidence: Evidence) -> Findings:
    """Make the plan again and compare all of it."""
    findings = Findings("plan", "the plan is what the recipe's forecast gives when it is made again", "figures")
    if not evidence.deep:
        findings.note("the plan is made again with --deep")
    elif evidence.recipe is not None and "plan" in evidence.artifacts and evidence.has(_PLAN):
        findings.checked.append(_PLAN)
        guarded(findings, evidence.run / _PLAN, lambda: _check(evidence, findings))
    return findings


def _check(evidence: Evidence, findings: Findings) -> None:
    assert evidence.recipe is not None
    sizes = evidence.artifacts["plan"].config.get("available_tokens")
    # As it reads back: the file holds JSON values.
    wanted, found = orjson.loads(orjson.dumps(make_plan(evidence.recipe, sizes))), evidence.tree.json(_PLAN)
    places = list(_unequal(wanted, found))
    findings.looked = _count(wanted)
    made, here = (version.partition(".git.")[0] for version in (evidence.artifacts["plan"].code_version, code_version()))
    if made == here:
        for place, expected, got in places[:_MANY_FAULTS]:
            findings.fault(evidence.run / _PLAN, f"{place}: the recipe gives {expected!r:.60}; got {got!r:.60}", _AGAIN)
    elif places:
        # What a forecast counts and how it is laid out may change between versions; only the same one must say the same.
        told = f"{len(places)} of {findings.looked} figures are others here, {places[0][0]} first"
        findings.note(f"{_PLAN} was made by {made}, and this is {here}: {told}")


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
