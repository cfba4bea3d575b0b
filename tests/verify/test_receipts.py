from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from pellucid.stages.verify import CHECKS
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings
from pellucid.verify.receipts import check_receipts


def check(run: Path) -> Findings:
    # With the orders as `pellucid verify` opens them.
    assert check_receipts.__name__ in CHECKS["receipts"].__code__.co_names
    return CHECKS["receipts"](Evidence(run))


def change_step(file: Path, number: int, fields: dict[str, Any]) -> None:
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    next(line for line in lines if line["step"] == number and "event" not in line).update(fields)
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def test_every_stage_read_what_the_order_gives(finished_run: Path) -> None:
    findings = check(finished_run)
    assert findings.faults == [] and findings.notes == []
    lines = sum(len((finished_run / name / "metrics.jsonl").read_bytes().splitlines()) for name in ("pretrain", "sft", "dpo"))
    assert findings.looked > lines - 3


@pytest.mark.parametrize("stage", ["pretrain", "sft", "dpo", "self_knowledge"])
def test_a_receipt_that_says_otherwise_is_named_with_the_field(run_copy: Path, rewrite: Callable[..., None], stage: str) -> None:
    def more(told: dict[str, Any]) -> None:
        name = sorted(told["consumed"]["sources"])[0]
        told["consumed"]["sources"][name]["tokens"] += 1
        told["steps"]["consumed"] += 1

    file = run_copy / stage / "receipt.json"
    rewrite(file, more)
    said = check(run_copy).faults
    assert len(said) == 2 and all(line.startswith(f"{file} ") and "order and shards give" in line for line in said)
    assert any(" steps.consumed:" in line for line in said) and any(".tokens:" in line for line in said)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"lr": 1.0}, "step 7: lr: expected"),
        ({"tokens": 1}, "step 7: tokens: expected"),
        ({"step": 8}, "step 7: step: expected 7; got 8"),
        ({"skipped": True}, "skipped steps: the stage's account says 0; the lines give 1"),
    ],
)
def test_a_step_that_says_otherwise_is_named(run_copy: Path, fields: dict[str, Any], told: str) -> None:
    file = run_copy / "pretrain" / "metrics.jsonl"
    change_step(file, 7, fields)
    assert any(line.startswith(f"{file} ") and told in line for line in check(run_copy).faults)


def test_a_step_that_is_gone_is_missed(run_copy: Path) -> None:
    file = run_copy / "sft" / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    assert any(line.startswith(f"{file} ") and "steps: the stage's account says" in line for line in check(run_copy).faults)


def test_shards_of_another_size_give_another_order(run_copy: Path, rewrite: Callable[..., None]) -> None:
    folder = run_copy / "shards" / "three-js.en" / "train"
    shard = folder / "00000.bin"
    shard.write_bytes(shard.read_bytes()[: -2 * 128])

    def less(told: dict[str, Any]) -> None:
        told["tokens"] -= 128
        told["files"][0]["tokens"] -= 128

    rewrite(folder / "index.json", less)
    starts = np.load(folder / "document_starts.npy")
    starts[-1] -= 128
    np.save(folder / "document_starts.npy", starts)
    said = check(run_copy).faults
    assert any("pretrain/receipt.json consumed.sources.three-js.en.available_tokens" in line for line in said)
    assert any("step-00000030/manifest.json config.data.tokens.three-js.en" in line for line in said)


def test_what_cannot_be_worked_out_is_a_note(run_copy: Path) -> None:
    (run_copy / "shards" / "three-js.en" / "train" / "00000.bin").unlink()
    findings = check(run_copy)
    assert findings.faults == []
    assert findings.notes == [
        "pretrain: shards/three-js.en/train/00000.bin is not there, so what the stage read cannot be worked out"
    ]
