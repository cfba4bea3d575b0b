from pathlib import Path

import pytest

from pellucid.checkpoint.models import load_model
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.recipe.load import load_recipe
from pellucid.stages.run_folder import (
    data_order,
    dump_recipe,
    final_checkpoint,
    newest_checkpoint,
    open_recipe,
    training_stage,
    weights_at,
)

LOADED = load_recipe(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml")


def test_the_resolved_recipe_reads_back_equal(tmp_path: Path) -> None:
    (tmp_path / "recipe.resolved.yaml").write_text(dump_recipe(LOADED))
    assert open_recipe(tmp_path) == LOADED.recipe


def test_stages_and_checkpoints_that_are_not_there_are_named(tmp_path: Path) -> None:
    stage = LOADED.recipe.train[0]
    with pytest.raises(UsageError, match="it has pretrain"):
        training_stage(LOADED.recipe, "dpo")
    with pytest.raises(ArtifactError, match="has not finished"):
        final_checkpoint(tmp_path, stage)
    with pytest.raises(ArtifactError, match="no checkpoint yet"):
        newest_checkpoint(tmp_path, LOADED.recipe)
    with pytest.raises(ArtifactError, match="pellucid shards"):
        data_order(LOADED.recipe, stage, tmp_path)


def test_final_and_newest_checkpoint_of_a_finished_run_are_the_same(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    final = final_checkpoint(finished_run, recipe.train[-1])
    assert newest_checkpoint(finished_run, recipe) == final
    assert load_model(final)[1]["step"] == recipe.train[-1].total_steps


def test_the_weights_of_a_run_and_of_a_stage_are_their_final_checkpoint(run_copy: Path, tmp_path: Path) -> None:
    final = run_copy / "pretrain" / "checkpoints" / "step-00000030"
    assert weights_at(run_copy) == weights_at(run_copy / "pretrain") == weights_at(final) == final
    assert weights_at(run_copy / "exports" / "hf") == run_copy / "exports" / "hf"
    assert weights_at(tmp_path / "nothing") == tmp_path / "nothing"
    (run_copy / "pretrain" / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"'pretrain' of .* has not finished"):
        weights_at(run_copy)
