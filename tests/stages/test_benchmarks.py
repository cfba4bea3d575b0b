import json
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.main import main
from pellucid.core.errors import RecipeError
from pellucid.recipe.load import load_recipe
from pellucid.stages.verify import verify_run

LAST = "self_knowledge"
RECIPE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"


def result_of(run: Path, stage: str, suite: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "benchmarks" / stage / suite / "result.json").read_text())
    return found


def test_a_recipe_scores_the_model_that_it_ends_with(finished_run: Path) -> None:
    check(finished_run, LAST)
    assert "benchmarks" in verify_run(finished_run).checked


def test_or_the_models_of_the_stages_that_it_names(run_copy: Path) -> None:
    stages = "evaluate.benchmarks.stages=[pretrain, sft]"
    assert main(["evaluate", str(RECIPE), "--runs", str(run_copy.parent), "--set", stages]) == 0
    for stage in ("pretrain", "sft"):
        check(run_copy, stage)


def check(run: Path, stage: str) -> None:
    result = result_of(run, stage, "reflection")
    assert result["complete"]
    assert result["subject"]["path"].startswith(f"{stage}/checkpoints/step-")
    assert result["setting"]["limit"] == 6
    assert all(table["items"] for table in result["tasks"].values())


def test_it_is_skipped_until_the_settings_change(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["evaluate", str(RECIPE), "--runs", str(run_copy.parent)]
    before = (run_copy / "benchmarks" / LAST / "reflection" / "result.json").read_bytes()
    assert main(call) == 0
    assert capsys.readouterr().err.count("unchanged") == 2
    assert main([*call, "--set", "evaluate.benchmarks.limit=3"]) == 0
    assert result_of(run_copy, LAST, "reflection")["setting"]["limit"] == 3
    assert (run_copy / "benchmarks.superseded-1" / LAST / "reflection" / "result.json").read_bytes() == before
    # The plan and the report are still those of the recipe as it was.
    stale = (str(run_copy / "plan" / "manifest.json"), str(run_copy / "report" / "manifest.json"))
    faults = verify_run(run_copy).faults
    assert faults and all(line.startswith(stale) or "report/" in line for line in faults)


def test_what_a_suite_had_scored_when_it_was_cut_off_is_kept(run_copy: Path) -> None:
    folder = run_copy / "benchmarks"
    lines = (folder / LAST / "reflection" / "items.jsonl").read_bytes().splitlines(keepends=True)
    key = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    names = ("kind", "schema_version", "seed", "config", "inputs")
    (folder / "building.json").write_text(json.dumps({name: key[name] for name in names}))
    marked = lines[0].replace(b'"details":{', b'"details":{"kept":1,', 1)
    assert marked != lines[0]
    (folder / LAST / "reflection" / "items.jsonl").write_bytes(marked + lines[1][:20])
    assert main(["evaluate", str(RECIPE), "--runs", str(run_copy.parent)]) == 0
    again = (folder / LAST / "reflection" / "items.jsonl").read_bytes().splitlines(keepends=True)
    assert again[0] == marked and len(again) == len(lines)


def test_files_that_settings_name_lie_beside_the_recipe_and_a_changed_one_is_scored_again(run_copy: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    (tmp_path / "items.jsonl").write_text('{"query": "Two and two make", "choices": ["four", "nine"], "gold": 0}\n')
    recipe.write_text(f"extends: {RECIPE}\nname: {run_copy.name}\n")
    call = ["evaluate", str(recipe), "--runs", str(run_copy.parent), "--set"]
    benchmarks = "{suites: [choices], stages: [pretrain], settings: {choices: {tasks: [items.jsonl]}}}"
    for count in (1, 2):
        assert main([*call, f"evaluate.benchmarks={benchmarks}"]) == 0
        (task,) = result_of(run_copy, "pretrain", "choices")["tasks"].values()
        assert task["items"] == count
        with (tmp_path / "items.jsonl").open("a") as file:
            file.write('{"query": "Three and one make", "choices": ["four", "nine"], "gold": 0}\n')


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("stages=[pretrian]", "there is no such training stage"),
        ("suites=[mt_bench]", "mt_bench is graded by a judge"),
        ("suites=[code]", "suites"),
        ("settings={endpoint: {url: x}}", "a recipe scores its own"),
        ("settings={needle: {depth: 3}}", "did you mean depths"),
    ],
)
def test_what_cannot_be_run_is_told_with_the_recipe(change: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe(RECIPE, [f"evaluate.benchmarks.{change}"])
