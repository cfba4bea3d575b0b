import json
import shutil
from pathlib import Path

from pellucid.cli.main import main
from pellucid.core.artifacts import read_manifest
from pellucid.core.files import read_json, sha256_file
from pellucid.recipe.load import load_recipe
from pellucid.report.verified import VERIFICATION
from pellucid.stages.report import REPORT, look_again
from pellucid.stages.run_folder import RECIPE_FILE
from pellucid.stages.stage import Context
from pellucid.stages.throughput import write_throughput

RECIPE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"


def test_the_report_follows_every_manifest_that_it_shows(finished_run: Path) -> None:
    inputs = read_manifest(finished_run / "report", "report").inputs
    tuning = {"conversations", "sft", "dpo", "self_knowledge"}
    results = {"benchmarks/self_knowledge/reflection/result.json"}
    text = {"documents", "shards", "scores"}
    assert inputs.keys() == {"plan", "tokenizer", "pretrain", "exports", "account", *text, *tuning, *results}
    files = {name: finished_run / name if name in results else finished_run / name / "manifest.json" for name in inputs}
    assert all(digest == sha256_file(files[name]) for name, digest in inputs.items())


def test_the_report_is_pages_a_pdf_figures_and_lists(finished_run: Path) -> None:
    outputs = read_manifest(finished_run / "report", "report").outputs
    files = {name for name in outputs if not name.startswith("figures/")}
    assert files == {"index.html", "report.pdf", "numbers.json", "verification.json", "data.html", "croissant.json"}


def test_a_report_made_again_is_the_same_report(run_copy: Path) -> None:
    def made() -> dict[str, bytes]:
        folder = run_copy / "report"
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    before, key = made(), read_manifest(run_copy / "report", "report").key
    shutil.rmtree(run_copy / "report")
    assert main(["report", str(RECIPE), "--runs", str(run_copy.parent)]) == 0
    after = made()
    assert [name for name in before if before[name] != after.get(name)] == [] and before.keys() == after.keys()
    assert read_manifest(run_copy / "report", "report").key == key


def test_what_was_checked_is_told_without_times_and_paths_and_its_numbers_hold(run_copy: Path) -> None:
    found = look_again(run_copy)
    assert found == read_json(run_copy / VERIFICATION)
    assert found["faults"] == [] and {"files", "ledger", "scores"} <= {check["name"] for check in found["checks"]}
    assert str(run_copy) not in json.dumps(found) and found["bytes"] > 10**6


def test_a_fault_is_told_in_the_report(run_copy: Path) -> None:
    with (run_copy / "pretrain" / "samples.jsonl").open("a") as file:
        file.write(" ")
    found = look_again(run_copy)
    assert found["faults_found"] == len(found["faults"]) >= 1 and found["faults"][0].startswith("pretrain/samples.jsonl ")


def test_speed_that_was_measured_later_is_shown_by_a_new_report(run_copy: Path) -> None:
    found = {"schema": 1, "settings": {"seed": 1}, "contestants": [{"missing": None}]}
    context = Context(load_recipe(run_copy / RECIPE_FILE), run_copy)
    before = REPORT.key(context)
    file = write_throughput(run_copy, found)
    after = REPORT.key(context)
    assert after.inputs == {**before.inputs, "throughput": sha256_file(file)}
