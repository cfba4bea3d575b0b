import json
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.artifacts import find_faults, read_manifest

RECIPE = str(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml")


def test_the_receipt_says_that_what_was_planned_was_consumed(finished_run: Path) -> None:
    receipt = json.loads((finished_run / "pretrain" / "receipt.json").read_text())
    assert receipt["planned"] == receipt["consumed"]
    assert receipt["consumed"]["tokens"] == 30_720
    assert sum(source["tokens"] for source in receipt["consumed"]["sources"].values()) == 30_720
    assert receipt["skipped_steps"] == []


def test_metrics_hold_what_people_look_for(finished_run: Path) -> None:
    lines = [json.loads(line) for line in (finished_run / "pretrain" / "metrics.jsonl").read_text().splitlines()]
    assert "peak_flops" in lines[0]["formula"]["mfu"]
    steps = [line for line in lines if "loss" in line]
    wanted = {
        "step",
        "tokens",
        "loss",
        "loss_by_source",
        "lr",
        "grad_norm",
        "tokens_per_s",
        "mfu",
        "memory_bytes",
        "seconds",
        "skipped",
    }
    assert all(wanted <= step.keys() for step in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_what_is_only_kept_or_shown_may_change_without_training_again(run_copy: Path) -> None:
    before = (run_copy / "pretrain" / "manifest.json").read_bytes()
    changes = ["--set", "train.0.checkpoint.keep_last=5", "--set", "train.0.activation_checkpointing=block"]
    assert main(["train", RECIPE, "--runs", str(run_copy.parent), *changes]) == 0
    assert (run_copy / "pretrain" / "manifest.json").read_bytes() == before


def test_another_rate_trains_again_and_sets_the_old_weights_aside(run_copy: Path) -> None:
    assert main(["train", RECIPE, "--runs", str(run_copy.parent), "--set", "train.0.schedule.peak_lr=1e-3"]) == 0
    assert find_faults(run_copy / "pretrain.superseded-1") == []
    assert read_manifest(run_copy / "pretrain").config["stage"]["schedule"]["peak_lr"] == 1e-3


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(run_copy: Path) -> None:
    weights = run_copy / "pretrain" / "checkpoints" / "step-00000030" / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.warns(UserWarning, match="damaged and passed over"):
        assert main(["train", RECIPE, "--runs", str(run_copy.parent)]) == 0
    assert weights.read_bytes() == good
