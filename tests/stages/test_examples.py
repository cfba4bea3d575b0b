"""The examples of a stage are those of its sources that are of its kind, and each is read as often as the recipe says."""

from pathlib import Path

import pytest

from pellucid.core.artifacts import read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json
from pellucid.stages.examples import example_folders, example_order, heldout_orders
from pellucid.stages.run_folder import open_recipe, training_stage
from pellucid.tokenizer.tokenizer import load_tokenizer


def test_stages_read_their_own_kind_and_as_often_as_their_receipts_say(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    pad = load_tokenizer(finished_run / "tokenizer").eos_id
    read = {}
    for stage in recipe.train:
        if stage.learns_from_text:
            continue
        order = example_order(recipe, stage, finished_run, pad)
        receipt = read_json(finished_run / stage.name / "receipt.json")
        assert receipt["consumed"] == receipt["planned"] == order.receipt(order.total_steps)["consumed"]
        assert read_manifest(finished_run / stage.name).summary["steps"] == order.total_steps
        read[stage.name] = set(order.source_names)
        scored = read_json_lines(finished_run / stage.name / "heldout.jsonl")
        held = heldout_orders(recipe, stage, finished_run, pad)
        assert [set(line["by_source"]) for line in scored] == [set(held)] * len(scored)
    assert read == {"sft": {"chatterbot", "instructions"}, "dpo": {"preferences"}, "self_knowledge": {"self_knowledge"}}


def read_json_lines(path: Path) -> list[dict[str, dict[str, object]]]:
    import orjson

    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []


def test_a_source_that_turns_out_to_be_of_the_other_kind_is_told_where_a_stage_names_it(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    dpo = training_stage(recipe, "dpo").model_copy(update={"conversations": ("instructions",)})
    with pytest.raises(ArtifactError, match="holds conversations"):
        example_folders(recipe, dpo, finished_run, "train")


def test_conversations_that_are_not_there_yet_are_told_with_the_command(finished_run: Path, tmp_path: Path) -> None:
    recipe = open_recipe(finished_run)
    with pytest.raises(ArtifactError, match="pellucid conversations RECIPE"):
        example_folders(recipe, training_stage(recipe, "sft"), tmp_path, "train")
