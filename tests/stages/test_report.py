from pathlib import Path

from pellucid.core.artifacts import read_manifest
from pellucid.core.files import sha256_file
from pellucid.recipe.load import load_recipe
from pellucid.stages.report import REPORT
from pellucid.stages.run_folder import RECIPE_FILE
from pellucid.stages.stage import Context
from pellucid.stages.throughput import write_throughput


def test_the_report_follows_every_manifest_that_it_shows(finished_run: Path) -> None:
    inputs = read_manifest(finished_run / "report", "report").inputs
    tuning = {"conversations", "sft", "dpo", "self_knowledge"}
    results = {"benchmarks/self_knowledge/reflection/result.json"}
    text = {"documents", "shards", "scores"}
    assert inputs.keys() == {"plan", "tokenizer", "pretrain", "exports", "account", *text, *tuning, *results}
    files = {name: finished_run / name if name in results else finished_run / name / "manifest.json" for name in inputs}
    assert all(digest == sha256_file(files[name]) for name, digest in inputs.items())


def test_the_report_is_two_pages_and_a_description_of_the_documents(finished_run: Path) -> None:
    outputs = read_manifest(finished_run / "report", "report").outputs
    assert outputs.keys() == {"index.html", "data.html", "croissant.json"}


def test_speed_that_was_measured_later_is_shown_by_a_new_report(run_copy: Path) -> None:
    found = {"schema": 1, "settings": {"seed": 1}, "contestants": [{"missing": None}]}
    context = Context(load_recipe(run_copy / RECIPE_FILE), run_copy)
    before = REPORT.key(context)
    file = write_throughput(run_copy, found)
    after = REPORT.key(context)
    assert after.inputs == {**before.inputs, "throughput": sha256_file(file)}
