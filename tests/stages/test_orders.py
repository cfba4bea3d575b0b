import sys
from pathlib import Path
from subprocess import run as run_program

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json
from pellucid.recipe.resolved import open_recipe
from pellucid.stages.orders import data_order, orders_before, shard_tokens


def test_the_order_of_a_finished_stage_gives_its_receipt(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    stage = recipe.train[0]
    order = data_order(recipe, stage, finished_run)
    receipt = read_json(finished_run / stage.name / "receipt.json")
    assert order.consumed(stage.total_steps * stage.batch_seqs) == receipt["consumed"]["sources"]
    assert orders_before(recipe, stage, finished_run) == []
    ((before, sequences),) = orders_before(recipe, recipe.train[1], finished_run)
    assert before.identity() == order.identity() and sequences == stage.total_steps * stage.batch_seqs
    assert shard_tokens(recipe, finished_run) == order.identity()["tokens"]


def test_without_shards_it_is_said_what_makes_them(finished_run: Path, tmp_path: Path) -> None:
    recipe = open_recipe(finished_run)
    with pytest.raises(ArtifactError, match="pellucid shards RECIPE"):
        shard_tokens(recipe, tmp_path)


def test_verifying_needs_no_torch() -> None:
    code = "import sys, pellucid.stages.orders, pellucid.stages.verify; assert 'torch' not in sys.modules"
    assert run_program([sys.executable, "-c", code], check=False).returncode == 0
