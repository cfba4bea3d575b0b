"""Held-out examples: scored as they are learnt, before the first step, when due, and after the last."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.batches.examples import ExampleOrder, Pace
from pellucid.conversations.store import Encoded, ExampleWriter
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.device import Device
from pellucid.train.heldout import score_examples
from pellucid.train.objectives.next_token import next_token
from pellucid.train.stage import run_stage

CPU = Device(torch.device("cpu"), "fp32")
TEXT = (Path(__file__).parents[2] / "LICENSE").read_bytes()
LINES = [TEXT[at : at + 10 + at % 19] for at in range(200, 2600, 40)]


def examples(folder: Path, lines: list[bytes]) -> Any:
    """Lines whose second half is the answer."""
    writer = ExampleWriter(folder)
    for number, line in enumerate(lines):
        writer.add([Encoded(list(line), [at >= len(line) // 2 for at in range(len(line))])], {"id": number})
    return writer.close()


def sft(tiny: Any, **changes: Any) -> TrainStageConfig:
    how = {"name": "sft", "objective": "sft", "length_epochs": 4, "packing": "best_fit", "attention": "document"}
    stage: TrainStageConfig = tiny.stage(**{**how, **changes})
    return stage


def test_the_loss_of_examples_is_the_mean_over_all_their_targets(tiny: Any, tmp_path: Path) -> None:
    model = Decoder(tiny.model)
    init_weights(model, 1)
    order = ExampleOrder({"a": examples(tmp_path, LINES[:9])}, 32, 1, Pace(1, 4), 0, packed=False)
    found = [score_examples(model, order, next_token, micro_seqs, CPU) for micro_seqs in (1, 4, 9)]
    nats, targets = 0.0, 0
    for line in LINES[:9]:
        with torch.no_grad():
            logits_TV = model.logits(model(torch.tensor([list(line)])))[0]
        half = len(line) // 2
        nats += float(torch.nn.functional.cross_entropy(logits_TV[half - 1 : -1], torch.tensor(list(line[half:])), reduction="sum"))
        targets += len(line) - half
    for score in found:
        assert score["units"] == targets and score["examples"] == 9
        assert score["loss"] == pytest.approx(nats / targets, rel=1e-5)


def test_a_stage_of_examples_writes_what_it_learnt_and_a_receipt_of_every_example(tiny: Any, tmp_path: Path) -> None:
    train, heldout = examples(tmp_path / "train", LINES[9:]), examples(tmp_path / "heldout", LINES[:9])
    order = ExampleOrder({"a": train}, 32, 1, Pace(4, 4), 0, packed=True)
    stage = sft(tiny, heldout={"every_steps": 5}).lasting(order.total_steps)
    scored = {"a": ExampleOrder({"a": heldout}, 32, 1, Pace(1, 4), 0, packed=False)}
    seen: list[int] = []
    out = tmp_path / "out"
    summary = run_stage(stage, tiny.model, order, 1, out, heldout=scored, probe=lambda state: seen.append(state.progress.step))
    lines = [json.loads(line) for line in (out / "heldout.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == sorted({0, *range(5, order.total_steps, 5), order.total_steps})
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.5
    assert seen == list(range(order.total_steps + 1))
    receipt = json.loads((out / "receipt.json").read_text())
    assert receipt["consumed"]["sources"]["a"] == {
        "examples": 4 * len(LINES[9:]), "available": len(LINES[9:]), "tokens": 4 * train.tokens, "epochs": 4.0,
    }  # fmt: skip
    assert receipt["target_tokens_by_source"]["a"] == 4 * train.target_tokens
    assert summary["tokens"] == 4 * train.tokens
