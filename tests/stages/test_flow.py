from pathlib import Path

import pytest

from pellucid.core.errors import UsageError
from pellucid.recipe.load import load_recipe
from pellucid.stages.flow import run_one, stages_of

LOADED = load_recipe(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml")


def test_stages_come_in_the_order_of_the_design() -> None:
    names = [stage.name for stage in stages_of(LOADED)]
    text = ["plan", "documents", "tokenizer", "shards"]
    assert names == [
        *text,
        "conversations",
        "pretrain",
        "sft",
        "dpo",
        "self_knowledge",
        "evaluate",
        "export",
        "benchmarks",
        "account",
        "report",
    ]


def test_a_recipe_without_text_has_no_stages_of_text() -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "smollm2-tune.yaml")
    assert [stage.name for stage in stages_of(recipe)] == [
        "plan",
        "tokenizer",
        "conversations",
        "tune",
        "export",
        "account",
        "report",
    ]


def test_an_unknown_stage_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the recipe has plan, documents"):
        run_one("nosuch", LOADED, tmp_path)


def test_one_stage_runs_alone(tmp_path: Path) -> None:
    run_one("plan", LOADED, tmp_path)
    assert sorted(path.name for path in (tmp_path / "pocket-smoke").iterdir() if not path.name.startswith(".")) == [
        "ledger.jsonl",
        "plan",
        "recipe.resolved.yaml",
    ]
