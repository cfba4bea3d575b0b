"""Every step of a finished stage gone through again, without a model: its sequences, tokens and targets, and whose they are."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pellucid.batches.batch import IGNORE, Batch
from pellucid.batches.order import Order
from pellucid.core.progress import progress
from pellucid.recipe.training import TrainStageConfig
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings

__all__ = ["walk_steps"]

_AGAIN = "restore the stage's folder and the run's shards from one copy"
# Sums of losses were made step by step; losses by source are their quotients, rounded once.
_ROUNDING = 1e-9


def walk_steps(
    evidence: Evidence,
    stage: TrainStageConfig,
    order: Order,
    records: Iterable[Mapping[str, Any]],
    receipt: Mapping[str, Any],
    findings: Findings,
) -> None:
    """Read each step's sequences as training did: tokens and sources as its line says, targets and losses as the receipt sums up.

    Work and memory are bounded by the lines that are there, a step at a time.
    """
    file = evidence.run / stage.name / "metrics.jsonl"
    units, nats = dict[str, float](), dict[str, float]()
    with progress(f"{stage.name}: steps", stage.total_steps, "steps") as bar:
        for number, record in enumerate(records):
            batch = order.sequences(number * stage.batch_seqs, stage.batch_seqs)
            of_step = _units_by_source(batch)
            tokens = int(batch.tokens_by_sequence().sum())
            if tokens != record["step_tokens"]:
                findings.fault(
                    file, f"step {number + 1}: step_tokens: the shards give {tokens}; got {record['step_tokens']}", _AGAIN
                )
                return
            if set(of_step) != set(record["loss_by_source"]):
                told = ", ".join(sorted(of_step))
                findings.fault(file, f"step {number + 1}: loss_by_source: the shards give targets of {told}, and no other", _AGAIN)
                return
            if not record["skipped"]:
                for name, count in of_step.items():
                    units[name] = units.get(name, 0.0) + count
                    nats[name] = nats.get(name, 0.0) + count * record["loss_by_source"][name]
            bar.advance()
    _compare_sums(evidence, stage, receipt, units, nats, findings)


def _units_by_source(batch: Batch) -> dict[str, float]:
    """Return what each source adds to the divisor of the step's loss; sources that add nothing are left out."""
    units_B = batch.units_B
    if units_B is None:
        units_B = np.count_nonzero(batch.targets_BT.reshape(len(batch.source_B), -1) != IGNORE, axis=1).astype(np.float64)
    sums_S = np.bincount(batch.source_B, weights=units_B, minlength=len(batch.source_names))
    return {name: float(sums_S[number]) for number, name in enumerate(batch.source_names) if sums_S[number]}


def _compare_sums(
    evidence: Evidence,
    stage: TrainStageConfig,
    receipt: Mapping[str, Any],
    units: Mapping[str, float],
    nats: Mapping[str, float],
    findings: Findings,
) -> None:
    file = evidence.run / stage.name / "receipt.json"
    told = {name: float(count) for name, count in receipt["target_tokens_by_source"].items() if count}
    if told != {name: count for name, count in units.items() if count}:
        findings.fault(file, f"target_tokens_by_source: the shards give {units!r:.80}; got {told!r:.80}", _AGAIN)
        return
    means = {name: nats[name] / units[name] for name in units}
    for name, mean in means.items():
        found = receipt["mean_loss_by_source"].get(name)
        if found is None or not abs(found - mean) <= _ROUNDING * abs(mean):
            findings.fault(file, f"mean_loss_by_source.{name}: the steps' losses give {mean}; got {found}", _AGAIN)
    whole = sum(nats.values()) / sum(units.values()) if units else None
    if whole is not None and not abs(receipt["mean_loss"] - whole) <= _ROUNDING * abs(whole):
        findings.fault(file, f"mean_loss: the steps' losses give {whole}; got {receipt['mean_loss']}", _AGAIN)
