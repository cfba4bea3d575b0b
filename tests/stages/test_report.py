from pathlib import Path

from pellucid.core.artifacts import read_manifest
from pellucid.core.files import sha256_file


def test_the_report_follows_every_manifest_that_it_shows(finished_run: Path) -> None:
    inputs = read_manifest(finished_run / "report", "report").inputs
    tuning = {"conversations", "sft", "dpo", "self_knowledge"}
    results = {"benchmarks/self_knowledge/reflection/result.json"}
    assert inputs.keys() == {"plan", "documents", "tokenizer", "shards", "pretrain", "scores", "exports", *tuning, *results}
    files = {name: finished_run / name if name in results else finished_run / name / "manifest.json" for name in inputs}
    assert all(digest == sha256_file(files[name]) for name, digest in inputs.items())


def test_the_report_is_two_pages_and_a_description_of_the_documents(finished_run: Path) -> None:
    outputs = read_manifest(finished_run / "report", "report").outputs
    assert outputs.keys() == {"index.html", "data.html", "croissant.json"}
