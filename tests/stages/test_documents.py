import json
from importlib import metadata
from pathlib import Path

import pytest

from pellucid.core.artifacts import read_manifest
from pellucid.recipe.load import load_recipe
from pellucid.stages import documents
from pellucid.stages.documents import DOCUMENTS
from pellucid.stages.stage import Context

RECIPE = """
sources: [{name: notes, path: notes.*, weight: 1, category: Web%s}]
documents: {%s}
tokenizer: {vocab_tokens: 512}
model: {preset: pocket}
train:
  - name: pretrain
    length_tokens: 4096
    batch_tokens: 4096
    seq_tokens: 256
    micro_seqs: 16
    schedule: {kind: constant, peak_lr: 1e-3}
"""


def test_every_raw_file_is_an_input_and_every_record_is_accounted_for(finished_run: Path) -> None:
    manifest = read_manifest(finished_run / "documents", "documents")
    assert len(manifest.inputs) == 5
    funnel = json.loads((finished_run / "documents" / "funnel.json").read_text())["sources"]
    for source in funnel.values():
        assert source["read"] == source["kept"] + source["heldout"] + sum(r["documents"] for r in source["dropped"].values())
    assert manifest.summary["kept"] == sum(source["kept"] for source in funnel.values()) > 0


def test_weights_play_no_part_in_documents(finished_run: Path) -> None:
    sources = read_manifest(finished_run / "documents").config["sources"]
    assert all("weight" not in source for source in sources)


def inputs_of(folder: Path, section: str, source: str = "", note: str = "notes.txt") -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / note).write_text("A note.")
    (folder / "recipe.yaml").write_text(RECIPE % (source, section))
    return dict(DOCUMENTS.key(Context(load_recipe(folder / "recipe.yaml"), folder / "run")).inputs)


@pytest.mark.parametrize(
    ("section", "source", "note", "packages"),
    [
        ("", "", "notes.txt", set()),
        ("clean: [{step: c4}, {step: unicode, mend_mojibake: false}]", "", "notes.txt", set()),
        ("clean: [{step: unicode}, {step: language}]", "", "notes.txt", {"ftfy", "eldc", "fasttext-predict"}),
        ("clean: [{step: unicode}]", ", clean: [{step: perplexity, model: m.arpa}]", "notes.txt", {"kenlm-ex"}),
        ("", ", clean: [{step: perplexity, model: m.arpa, sentencepiece: s}]", "notes.txt", {"kenlm-ex", "sentencepiece"}),
        ("", ", html: true", "notes.txt", {"trafilatura"}),
        ("", "", "notes.htm.gz", {"trafilatura"}),
    ],
)
def test_the_versions_of_the_packages_that_make_the_bytes_are_inputs_and_no_others(
    section: str, source: str, note: str, packages: set[str], tmp_path: Path
) -> None:
    for name in ("m.arpa", "s"):
        (tmp_path / name).touch()
    inputs = inputs_of(tmp_path, section, source, note)
    found = {name.removeprefix("package "): version for name, version in inputs.items() if name.startswith("package ")}
    assert found == {name: metadata.version(name) for name in packages}


def test_a_package_that_is_not_there_is_an_input_too() -> None:
    assert documents._version("no-such-package-is-installed") == "missing"


def test_benchmarks_are_inputs_by_the_names_that_the_documents_hold(tmp_path: Path) -> None:
    def key(place: str, name: str) -> dict[str, str]:
        path = tmp_path / place / name
        path.parent.mkdir(parents=True)
        path.write_text('{"question": "Who wrote Emma?"}')
        return inputs_of(tmp_path / place, "decontaminate: {benchmarks: ['**/*.jsonl']}")

    here = key("here", "austen/test.jsonl")
    assert "benchmark 0 austen/test (test.jsonl)" in here
    assert key("far/away", "austen/test.jsonl") == here != key("renamed", "emma/test.jsonl")
