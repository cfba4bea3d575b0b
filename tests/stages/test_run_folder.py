from pathlib import Path

import pytest

from pellucid.checkpoint.models import load_model
from pellucid.cli.main import main
from pellucid.core.artifacts import read_manifest
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.files import read_json
from pellucid.recipe.load import load_recipe
from pellucid.stages.run_folder import (
    data_order,
    dump_recipe,
    final_checkpoint,
    newest_checkpoint,
    open_recipe,
    shard_tokens,
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
        training_stage(LOADED.recipe, "nosuch")
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
    assert load_model(final)[1]["step"] == read_manifest(finished_run / recipe.train[-1].name).summary["steps"]


def test_the_weights_of_a_run_and_of_a_stage_are_their_final_checkpoint(run_copy: Path, tmp_path: Path) -> None:
    first, final = run_copy / "pretrain" / "checkpoints" / "step-00000030", newest_checkpoint(run_copy, LOADED.recipe)
    assert weights_at(run_copy / "pretrain") == weights_at(first) == first
    assert weights_at(run_copy) == weights_at(run_copy / "self_knowledge") == weights_at(final) == final
    assert weights_at(run_copy / "exports" / "hf") == run_copy / "exports" / "hf"
    assert weights_at(tmp_path / "nothing") == tmp_path / "nothing"
    (run_copy / "self_knowledge" / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"'self_knowledge' of .* has not finished"):
        weights_at(run_copy)


def test_a_later_stage_with_epochs_and_best_fit_is_served_from_the_shards_and_its_receipt_covers_the_run(
    run_copy: Path, tmp_path: Path
) -> None:
    recipe_file = tmp_path / "two.yaml"
    recipe_file.write_text(
        f"extends: {Path(__file__).parents[2] / 'recipes' / 'pocket-smoke.yaml'}\nname: pocket-smoke\n"
        "train:\n  sft: null\n  dpo: null\n  self_knowledge: null\n"
        "  second: {length_tokens: 8192, batch_tokens: 1024, seq_tokens: 128, micro_seqs: 8, packing: best_fit, "
        "attention: document, schedule: {peak_lr: 1e-4}}\n"
    )
    first = load_recipe(recipe_file).recipe.sources[0].name
    epochs = f"train.second.epochs={{{first}: 0.05}}"
    recipe = load_recipe(recipe_file, [epochs]).recipe
    tokens = shard_tokens(recipe, run_copy)
    assert all(count > 0 for count in tokens.values())
    assert main(["train", str(recipe_file), "--runs", str(run_copy.parent), "--set", epochs]) == 0
    receipt = read_json(run_copy / "second" / "receipt.json")
    order = data_order(recipe, recipe.train[1], run_copy)
    assert order.packing == "best_fit"
    assert receipt["order"]["weights"][first] == pytest.approx(0.05 * tokens[first] / 8192)
    assert receipt["consumed"]["sources"][first]["epochs"] == pytest.approx(0.05, abs=0.05)
    one = read_json(run_copy / "pretrain" / "receipt.json")
    for name, use in receipt["run"]["sources"].items():
        seen = [part["consumed"]["sources"].get(name, {"seen_tokens": 0, "tokens": 0}) for part in (one, receipt)]
        assert use["tokens"] == sum(part["tokens"] for part in seen)
        assert max(part["seen_tokens"] for part in seen) <= use["unique_tokens"] <= sum(part["seen_tokens"] for part in seen)
