"""Check: receipts say what the order of data gives, metrics what the schedule gives, and the counts of text add up all the way.

The order is a pure function of recipe, seed and shards, so what training read is worked out again without training. `--deep` goes
through every step's sequences and every index of documents.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.batches.examples import ExampleOrder
from pellucid.batches.order import DataOrder
from pellucid.batches.receipt import build_receipt
from pellucid.core.errors import ArtifactError
from pellucid.optim.schedules import learning_rate
from pellucid.recipe.training import TrainStageConfig
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded
from pellucid.verify.places import lacking
from pellucid.verify.steps import walk_steps

__all__ = ["Orders", "check_receipts"]

_AGAIN = "restore the stage's folder from a copy, or train it again"


@dataclass(frozen=True)
class Orders:
    """How the order of a stage is opened, and those of the stages before it; given by whoever knows where a run keeps its data."""

    of: Callable[[TrainStageConfig], DataOrder | ExampleOrder]
    before: Callable[[TrainStageConfig], Sequence[tuple[DataOrder, int]]]


def check_receipts(evidence: Evidence, orders: Orders) -> Findings:
    """Work out every finished stage's receipt, schedule and sums again and compare."""
    proves = "receipts and metrics say what recipe, shards and seed give: sequences, tokens, epochs and rates of every step"
    findings = Findings("receipts", proves, "steps")
    for stage in evidence.training:
        manifest = evidence.artifacts.get(stage.name)
        if manifest is None:
            continue
        where = evidence.run / stage.name / "receipt.json"
        guarded(findings, where, lambda s=stage, m=manifest: _check_stage(evidence, s, m.summary, orders, findings))  # type: ignore[misc]
    return findings


def _check_stage(
    evidence: Evidence, stage: TrainStageConfig, summary: Mapping[str, Any], orders: Orders, findings: Findings
) -> None:
    missing = lacking(evidence, stage) or _lacking(evidence, f"{stage.name}/receipt.json", f"{stage.name}/metrics.jsonl")
    if missing is not None:
        findings.note(f"{stage.name}: {missing} is not there, so what the stage read cannot be worked out")
        return
    receipt = evidence.tree.json(f"{stage.name}/receipt.json")
    order, steps = orders.of(stage), int(summary["steps"])
    if isinstance(order, ExampleOrder):
        stage = stage.lasting(order.total_steps)
        wanted = order.receipt(steps)
    else:
        wanted = build_receipt(
            order, steps=steps, total_steps=stage.total_steps, batch_seqs=stage.batch_seqs, earlier=orders.before(stage)
        )
    file = evidence.run / stage.name / "receipt.json"
    findings.checked.append(f"{stage.name}/receipt.json")
    for place, expected, found in _unequal(wanted, receipt):
        findings.fault(file, f"{place}: order and shards give {expected!r:.60}; got {found!r:.60}", _AGAIN)
    guarded(findings, file.parent / "metrics.jsonl", lambda: _check_metrics(evidence, stage, summary, receipt, findings))
    _check_identity(evidence, stage, order, findings)
    if evidence.deep:
        where = file.parent / "metrics.jsonl"
        guarded(findings, where, lambda: walk_steps(evidence, stage, order, _steps(evidence, stage), receipt, findings))


def _lacking(evidence: Evidence, *names: str) -> str | None:
    return next((name for name in names if not evidence.has(name)), None)


def _unequal(wanted: Any, found: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    """Return place, expected and found wherever they differ; fields that only a later version writes are passed over."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        names = [*wanted, *(name for name in found if name not in wanted)] if place else list(wanted)
        lacking = object()
        pairs = [(name, wanted.get(name, lacking), found.get(name, lacking)) for name in names]
        return [one for name, a, b in pairs for one in _unequal(a, b, f"{place}.{name}" if place else name)]
    return [] if wanted == found else [(place, wanted, found)]


def _steps(evidence: Evidence, stage: TrainStageConfig) -> Iterator[dict[str, Any]]:
    """Yield the lines of a stage's metrics that are steps."""
    return (record for record in evidence.tree.records(f"{stage.name}/metrics.jsonl") if "event" not in record)


def _check_metrics(
    evidence: Evidence, stage: TrainStageConfig, summary: Mapping[str, Any], receipt: Mapping[str, Any], findings: Findings
) -> None:
    """Each step is there once, in order, with the rate of the schedule; tokens add up to the summary's, skips to the receipt's."""
    file, number, tokens, skipped = evidence.run / stage.name / "metrics.jsonl", 0, 0, []
    findings.checked.append(f"{stage.name}/metrics.jsonl")
    for number, record in enumerate(_steps(evidence, stage), start=1):
        findings.looked += 1
        tokens += record["step_tokens"]
        if record["skipped"]:
            skipped.append(record["step"])
        rate = learning_rate(stage.schedule, number, stage.total_steps)
        for name, wanted in (("step", number), ("tokens", tokens), ("lr", rate)):
            if record[name] != wanted:
                findings.fault(file, f"step {number}: {name}: expected {wanted}; got {record[name]}", _AGAIN)
                return
    sums = {
        "steps": (number, summary["steps"]),
        "tokens": (tokens, summary["tokens"]),
        "skipped steps": (len(skipped), summary["skipped_steps"]),
        "skipped steps of the receipt": (skipped, [one["step"] for one in receipt["skipped_steps"]]),
    }
    for name, (found, told) in sums.items():
        if found != told:
            findings.fault(file, f"{name}: the stage's account says {told!r:.60}; the lines give {found!r:.60}", _AGAIN)


def _check_identity(evidence: Evidence, stage: TrainStageConfig, order: DataOrder | ExampleOrder, findings: Findings) -> None:
    """The final checkpoint was trained in this order, with this seed, to this step."""
    folder = evidence.final_checkpoint(stage.name)
    manifest = evidence.manifest(folder) if folder is not None else None
    if folder is None or manifest is None:
        if folder is not None and not evidence.is_left_out(f"{folder}/manifest.json"):
            raise ArtifactError(f"{evidence.run / folder} has no manifest; the stage names it as its last checkpoint")
        return
    assert evidence.recipe is not None
    wanted = {"seed": evidence.recipe.seed, "data": order.identity(), "step": evidence.artifacts[stage.name].summary["steps"]}
    for place, expected, found in _unequal(wanted, {name: manifest.config.get(name) for name in wanted}):
        what = f"config.{place}: the order of data gives {expected!r:.60}; got {found!r:.60}"
        findings.fault(evidence.run / folder / "manifest.json", what, _AGAIN)
