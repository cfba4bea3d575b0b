import json
from pathlib import Path

import pytest

from pellucid.cli.main import main

RECIPE = str(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml")
SMALL = ("--set", "train.pretrain.batch_tokens=512", "--set", "train.pretrain.micro_seqs=4")


def test_the_table_ends_with_the_line_for_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", RECIPE, "--stage", "pretrain", *SMALL]) == 0
    shown = capsys.readouterr().out
    assert "4 sequences of 128 per step, fp32, not compiled" in shown
    for column in ("micro_seqs", "accumulation", "tokens/s", "MFU", "memory", "forecast"):
        assert column in shown
    chosen = shown.splitlines()[-1].removeprefix("    micro_seqs: ")
    assert chosen in ("1", "2", "4")
    assert f"--set train.pretrain.micro_seqs={chosen}" in shown


def test_json_holds_what_the_table_shows_and_sharing_a_step_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    more = [*SMALL, "--set", "plan.devices=2", "--set", "train.pretrain.parallel.shard=zero1"]
    assert main(["tune", RECIPE, "--json", *more]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["stage"] == "pretrain" and facts["devices"] == 2
    assert [trial["micro_seqs"] for trial in facts["trials"]] == [1, 2]
    assert facts["trials"][0].keys() >= {"accumulation", "tokens_per_s", "mfu", "mfu_6n", "memory_bytes", "forecast_bytes"}
    assert facts["best"]["set"] == f"train.pretrain.micro_seqs={facts['best']['micro_seqs']}"
    assert main(["tune", RECIPE, *more]) == 0
    assert "2 devices share a step (plan.devices)" in (shown := capsys.readouterr().out)
    assert "parallel.shard zero1 each is forecast to hold" in shown


def test_a_limit_that_nothing_fits_under_is_an_error_that_says_what_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", RECIPE, "--memory-gib", "0.001"]) == 1
    text = capsys.readouterr().err
    assert "micro_seqs 1 is forecast to need" in text and "1.02 MiB" in text
    assert "activation_checkpointing=selective" in text
    assert main(["tune", RECIPE, "--memory-gib", "0"]) == 2
    assert "--memory-gib: got 0; must be above 0" in capsys.readouterr().err


def test_an_unknown_stage_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", RECIPE, "--stage", "nosuch"]) == 2
    assert "no training stage 'nosuch'" in capsys.readouterr().err
