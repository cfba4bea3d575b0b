"""Check: each artifact is what this recipe makes of the artifacts before it: settings, seed, and the digests of what it read."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.artifacts import MANIFEST, Manifest
from pellucid.core.ledger import LEDGER
from pellucid.plan.mixing import mix_of
from pellucid.recipe.resolved import RECIPE_FILE, resolved_text, values_digest
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded
from pellucid.verify.settings import expected_settings

__all__ = ["check_lineage"]

_AGAIN = "give `pellucid run RECIPE` again, which makes what is no longer of this recipe"
_SEEDED = {"plan", "checkpoint_stage", "benchmarks"}


def check_lineage(evidence: Evidence) -> Findings:
    """Follow every artifact back: documents → tokenizer → shards → training → scores, exports → report, and all to the recipe."""
    proves = "every artifact has this recipe's settings and seed, and was made from the artifacts that lie beside it"
    findings = Findings("recipe", proves, "inputs")
    if not evidence.artifacts:
        return findings
    if evidence.recipe is None:
        findings.faults.append(evidence.recipe_fault or "")
    else:
        findings.checked.append(RECIPE_FILE)
        guarded(findings, evidence.run / RECIPE_FILE, lambda: _check_recipe_file(evidence, findings))
    outside = dict[str, int]()
    for folder, manifest in evidence.artifacts.items():
        file = evidence.run / folder / MANIFEST
        if ".superseded-" in folder or "/" in folder:
            continue
        if evidence.recipe is not None:
            guarded(findings, file, lambda m=manifest, f=folder: _check_settings(evidence, f, m, findings))  # type: ignore[misc]
        guarded(findings, file, lambda m=manifest, f=folder: _check_inputs(evidence, f, m, findings, outside))  # type: ignore[misc]
    told = ", ".join(f"{folder} {count}" for folder, count in outside.items())
    if told:
        findings.note(f"inputs that lie outside the run, of which it has only the digests: {told}")
    return findings


def _check_recipe_file(evidence: Evidence, findings: Findings) -> None:
    """The recipe's file is byte by byte as it was written, by the ledger's digest or else by its own."""
    file, values = evidence.run / RECIPE_FILE, evidence.values
    findings.looked += 1
    digest = values_digest(values)
    text = evidence.tree.read(RECIPE_FILE).decode()
    starts = [event for event in evidence.events if event.get("event") == "start" and isinstance(event.get("recipe"), str)]
    told = starts[-1].get("recipe_file") if starts else None
    if told is not None and told == evidence.tree.digest(RECIPE_FILE):
        return
    if digest not in text.partition("\n")[0] or text != resolved_text(values):
        findings.fault(file, f"was altered: it is not as its own digest and values say (its values have {digest[:12]}…)", _AGAIN)
    elif starts and starts[-1]["recipe"] != digest:
        findings.fault(
            file, f"is not the recipe of the last stage in {LEDGER} ({starts[-1]['recipe'][:12]}…, got {digest[:12]}…)", _AGAIN
        )
    elif told is not None:
        findings.fault(file, f"is not the file that {LEDGER} names ({told[:12]}…)", _AGAIN)


def _check_settings(evidence: Evidence, folder: str, manifest: Manifest, findings: Findings) -> None:
    """Compare every setting that the manifest records and the recipe has, and the seed."""
    recipe, file = evidence.recipe, evidence.run / folder / MANIFEST
    assert recipe is not None
    seeds = {recipe.seed} if manifest.kind in _SEEDED else {0, recipe.seed}
    if manifest.seed not in seeds:
        findings.fault(file, f"seed: expected {recipe.seed}, as in the recipe; got {manifest.seed}", _AGAIN)
    for place, wanted, found in _differences(expected_settings(evidence, folder, manifest.kind), manifest.config):
        findings.fault(file, f"config.{place}: the recipe has {wanted!r:.80}; got {found!r:.80}", _AGAIN)
    if manifest.kind == "checkpoint_stage" and "weights" in manifest.config:
        stage = next(one for one in recipe.train if one.name == folder)
        weights = mix_of(recipe, stage, _shard_tokens(evidence)).weights
        if weights != manifest.config["weights"]:
            findings.fault(file, "config.weights: not the mixture that recipe and shards give", _AGAIN)


def _shard_tokens(evidence: Evidence) -> dict[str, int]:
    assert evidence.recipe is not None
    names = [source.name for source in evidence.recipe.sources]
    return {name: int(evidence.tree.json(f"shards/{name}/train/index.json")["tokens"]) for name in names}


def _differences(wanted: Any, found: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    """Return place, recipe's value and manifest's value wherever both have one and they differ."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        # A later version may record more, an earlier one less: what both say must agree.
        common = [name for name in found if name in wanted]
        return [one for name in common for one in _differences(wanted[name], found[name], f"{place}.{name}" if place else name)]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [one for n, (a, b) in pairs for one in _differences(a, b, f"{place}[{n}]")]
    return [] if wanted == found and isinstance(wanted, bool) == isinstance(found, bool) else [(place or "all", wanted, found)]


def _check_inputs(evidence: Evidence, folder: str, manifest: Manifest, findings: Findings, outside: dict[str, int]) -> None:
    """Compare the digests of what an artifact was made from with what lies there now."""
    known = _known_inputs(evidence, folder, manifest.kind)
    for name, told in manifest.inputs.items():
        places = known.get(name, ())
        found = [digest for place in places if (digest := _digest_of(evidence, manifest.kind, place))]
        if not places:
            outside[folder] = outside.get(folder, 0) + 1
            continue
        findings.looked += 1
        if not found:
            # That its folder is unfinished, damaged or gone is told elsewhere, once.
            findings.note(f"{folder}: {name} ({places[0]}) is not there to be compared with")
        elif told not in found:
            what = f"was made from another {name} than {places[0]} is now (expected {found[0][:12]}…, got {told[:12]}…)"
            findings.fault(evidence.run / folder / MANIFEST, what, _AGAIN)


def _known_inputs(evidence: Evidence, folder: str, kind: str) -> dict[str, tuple[str, ...]]:
    """Return where in the run an artifact's inputs lie, by the names under which manifests record them."""
    if kind == "report":
        return {name: (f"{name}/{MANIFEST}", name, f"{name}/{name}.json") for name in evidence.artifacts[folder].inputs}
    places: dict[str, tuple[str, ...]] = {
        name: (name,) for name in ("documents", "tokenizer", "shards", "conversations") if name != folder
    }
    stages = [stage.name for stage in evidence.training]
    ends = {name: end for name in stages if (end := evidence.final_checkpoint(name)) is not None}
    if kind == "checkpoint_stage" and folder in stages:
        number = stages.index(folder)
        stage = evidence.training[number]
        if number and stage.init_from is None:
            places["checkpoint"] = (ends.get(stages[number - 1], stages[number - 1]),)
        messages = stage.self_knowledge.messages_from if stage.self_knowledge is not None else None
        if stage.self_knowledge is not None and (messages or evidence.training[0].learns_from_text):
            places["messages_from"] = (ends.get(messages or stages[0], messages or stages[0]),)
    elif kind == "scores":
        text = [stage.name for stage in evidence.training if stage.learns_from_text]
        places |= {"checkpoint": (ends.get(text[-1], text[-1]),)} if text else {}
    elif kind == "exports":
        places |= {"checkpoint": (ends.get(stages[-1], stages[-1]),)} if stages else {}
    elif kind == "noise":
        manifest = evidence.artifacts[folder]
        checkpoints = [name for name in manifest.inputs if name not in places]
        places |= {name: (f"{manifest.config.get('stage')}/checkpoints/{name}",) for name in checkpoints}
    elif kind == "benchmarks":
        places |= {name: (ends.get(name, name),) for name in stages}
    return places


def _digest_of(evidence: Evidence, kind: str, place: str) -> str | None:
    """Return what a manifest records of an input: a report the bytes of a file, others all that an artifact holds."""
    if kind == "report":
        return evidence.tree.digest(place) if evidence.has(place) else None
    return evidence.fingerprint(place)
