import json
from pathlib import Path

import pytest

from pellucid.cli.main import main

RECIPE = str(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml")


def test_each_value_says_whether_it_was_given_inherited_set_or_derived(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", RECIPE, "--json", "--set", "seed=9"]) == 0
    rows = {row["field"]: row for row in json.loads(capsys.readouterr().out)["fields"]}
    assert (rows["seed"]["value"], rows["seed"]["origin"]) == (9, "override")
    assert rows["model.layers"]["origin"] == "given"
    assert rows["evaluate.baselines"]["origin"] == "inherited"
    assert rows["model.vocab_tokens"]["origin"] == "derived"


def test_the_table_lists_sources_last_and_how_to_change_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", RECIPE]) == 0
    shown = capsys.readouterr().out
    assert shown.index("train.pretrain.batch_tokens") < shown.index("three-js.en")
    assert "--set FIELD=VALUE" in shown
