from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from pellucid.stages.verify import CHECKS
from pellucid.verify.evidence import Evidence
from pellucid.verify.steps import walk_steps

assert walk_steps  # called by the check of receipts when it goes deep


def faults_of(run: Path, *, deep: bool = True) -> list[str]:
    return CHECKS["receipts"](Evidence(run, deep=deep)).faults


def test_every_step_of_every_stage_is_gone_through(finished_run: Path) -> None:
    assert faults_of(finished_run) == []


@pytest.mark.parametrize("stage", ["pretrain", "sft", "dpo", "self_knowledge"])
def test_targets_and_mean_losses_are_those_of_the_steps(run_copy: Path, rewrite: Callable[..., None], stage: str) -> None:
    file = run_copy / stage / "receipt.json"

    def other_mean(told: dict[str, Any]) -> None:
        told["mean_loss"] *= 1.001

    rewrite(file, other_mean)
    assert faults_of(run_copy, deep=False) == []
    assert any(line.startswith(f"{file} mean_loss: the steps' losses give") for line in faults_of(run_copy))

    def other_targets(told: dict[str, Any]) -> None:
        told["target_tokens_by_source"][sorted(told["target_tokens_by_source"])[0]] += 1

    rewrite(file, other_targets)
    assert any(line.startswith(f"{file} target_tokens_by_source: the shards give") for line in faults_of(run_copy))


def test_a_loss_of_one_step_that_was_changed_shows_in_the_sums(run_copy: Path) -> None:
    file = run_copy / "pretrain" / "metrics.jsonl"
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    losses = next(line for line in lines if line["step"] == 9)["loss_by_source"]
    name = sorted(losses)[0]
    losses[name] += 1e-4
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    assert any(f"pretrain/receipt.json mean_loss_by_source.{name}" in line for line in faults_of(run_copy))
    losses["nobody"] = losses.pop(name)
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    assert any("pretrain/metrics.jsonl step 9: loss_by_source" in line for line in faults_of(run_copy))


def test_other_targets_in_the_conversations_show(run_copy: Path) -> None:
    file = run_copy / "conversations" / "instructions" / "train" / "targets.npy"
    targets = np.load(file)
    targets[np.flatnonzero(targets)[:3]] = 0
    np.save(file, targets)
    assert any("sft/receipt.json target_tokens_by_source" in line for line in faults_of(run_copy))
