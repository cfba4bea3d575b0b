"""The reference of pairs: computed once from the weights that a stage begins with, stored, and the same after a stop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.batches.examples import ExampleOrder, Pace
from pellucid.conversations.store import Encoded, ExampleWriter
from pellucid.core.errors import ArtifactError
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.device import Device
from pellucid.train.reference import attach_reference, compute_reference
from pellucid.train.stage import run_stage
from pellucid.train.state import TrainState
from pellucid.train.world import World

CPU = Device(torch.device("cpu"), "fp32")
TEXT = (Path(__file__).parents[2] / "LICENSE").read_bytes()


def pairs(folder: Path, count: int, at: int = 0) -> ExampleOrder:
    """Right is the text's own next bytes; wrong are the same in reverse."""
    writer = ExampleWriter(folder, 2)
    for number in range(count):
        begin = at + 40 * number
        asked, chosen = TEXT[begin : begin + 8], TEXT[begin + 8 : begin + 20]
        sides = [asked + chosen, asked + chosen[::-1] + b"."]
        writer.add([Encoded(list(side), [k >= 8 for k in range(len(side))]) for side in sides], {"id": number})
    return ExampleOrder({"p": writer.close()}, 32, 1, Pace(2, 4), 0, packed=False)


def dpo(tiny: Any) -> TrainStageConfig:
    how = {"name": "dpo", "objective": "dpo", "length_epochs": 2, "packing": "none", "attention": "document"}
    schedule = {"peak_lr": 1e-3, "kind": "cosine"}
    stage: TrainStageConfig = tiny.stage(**how, preference={"beta": 0.1}, schedule=schedule, checkpoint={"every_steps": 3})
    return stage


def test_what_is_stored_are_sums_over_each_answer_whatever_the_micro_batch(tiny: Any, tmp_path: Path) -> None:
    model = Decoder(tiny.model)
    init_weights(model, 1)
    order = pairs(tmp_path, 7)
    found = []
    for micro_seqs in (1, 3, 8):
        compute_reference(model, order, tmp_path / "reference.npy", micro_seqs, CPU, World())
        found.append(np.load(tmp_path / "reference.npy"))
        assert (order.values["reference"] == found[-1]).all()
    for example in range(7):
        for side in range(2):
            ids, _ = order.sources[0].read(2 * example + side)
            with torch.no_grad():
                logp_TV = model.logits(model(torch.tensor([ids.tolist()])))[0].log_softmax(-1)
            expected = sum(float(logp_TV[at - 1, int(ids[at])]) for at in range(8, len(ids)))
            for reference_E2 in found:
                assert reference_E2[example, side] == pytest.approx(expected, rel=1e-5)


def test_a_reference_of_other_pairs_or_none_is_told(tiny: Any, tmp_path: Path) -> None:
    order = pairs(tmp_path, 7)
    with pytest.raises(ArtifactError, match="cannot be read"):
        attach_reference(order, tmp_path / "reference.npy")
    np.save(tmp_path / "reference.npy", np.zeros((6, 2), np.float32))
    with pytest.raises(ArtifactError, match="is of 6 pairs, there are 7"):
        attach_reference(order, tmp_path / "reference.npy")


def test_a_stage_of_pairs_raises_the_held_out_accuracy_and_goes_on_to_the_same_bits(tiny: Any, tmp_path: Path) -> None:
    order, scored = pairs(tmp_path / "train", 40), {"p": pairs(tmp_path / "heldout", 12, at=2000)}
    stage = dpo(tiny).lasting(order.total_steps)
    run_stage(stage, tiny.model, order, 1, tmp_path / "whole", heldout=scored)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "heldout.jsonl").read_text().splitlines()]
    assert lines[0]["figures"]["accuracy"] == 0.5 and lines[0]["loss"] == pytest.approx(np.log(2), rel=1e-5)
    assert lines[-1]["figures"]["accuracy"] > 0.7 and lines[-1]["figures"]["margin"] > 0

    class StopError(Exception):
        pass

    def stop_at_five(state: TrainState) -> None:
        if state.progress.step == 5:
            raise StopError

    cut = tmp_path / "cut"
    with pytest.raises(StopError):
        run_stage(stage, tiny.model, order, 1, cut, heldout=scored, probe=stop_at_five)
    reference = (cut / "reference.npy").stat().st_mtime_ns
    run_stage(stage, tiny.model, order, 1, cut, heldout=scored)
    assert (cut / "reference.npy").stat().st_mtime_ns == reference
    step = f"checkpoints/step-{stage.total_steps:08d}"
    for file in sorted((tmp_path / "whole" / step).glob("*.safetensors")):
        assert file.read_bytes() == (cut / step / file.name).read_bytes(), file.name
    assert (cut / "heldout.jsonl").read_bytes() == (tmp_path / "whole" / "heldout.jsonl").read_bytes()
    records = [json.loads(line) for line in (cut / "metrics.jsonl").read_text().splitlines()]
    assert {"accuracy", "margin", "chosen_logp", "rejected_logp", "kl"} <= records[-1]["figures"].keys()
