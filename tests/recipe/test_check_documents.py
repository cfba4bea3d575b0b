from pathlib import Path

import pytest

from pellucid.core.errors import RecipeError
from pellucid.recipe.load import load_recipe

RECIPE = """
name: t
sources: [{{name: a, path: a.jsonl, weight: 1, category: Web, {source}}}]
documents: {{{documents}}}
model: {{preset: pocket, context_tokens: 256}}
train:
  - {{name: pretrain, length_tokens: 1e6, batch_tokens: 4096, seq_tokens: 256, micro_seqs: 16,
     schedule: {{kind: constant, peak_lr: 1e-3}}}}
"""
STEP = "{step: perplexity, model: en.arpa}"


def problems(folder: Path, source: str, documents: str) -> dict[str, str]:
    (folder / "r.yaml").write_text(RECIPE.format(source=source, documents=documents))
    try:
        load_recipe(folder / "r.yaml")
    except RecipeError as error:
        return {problem.field: problem.message for problem in error.problems}
    return {}


def test_a_subset_needs_a_limit_and_a_score_that_is_measured(tmp_path: Path) -> None:
    assert problems(tmp_path, "select: {by: random}", "") == {"sources[0].select": "has no limit, so it selects everything"}
    unmeasured = {"sources[0].select.by": "got 'perplexity'; no step of documents.clean measures it"}
    assert problems(tmp_path, "select: {by: perplexity, documents: 3}", "") == unmeasured
    assert problems(tmp_path, "select: {by: perplexity, documents: 3}", f"clean: [{STEP}]") == {}
    assert problems(tmp_path, f"clean: [{STEP}], select: {{by: perplexity, bytes: 3}}", "") == {}
    own = {"sources[0].select.by": "got 'perplexity'; no step of the source's clean measures it"}
    assert problems(tmp_path, "clean: [], select: {by: perplexity, bytes: 3}", f"clean: [{STEP}]") == own


@pytest.mark.parametrize(("sizes", "fits"), [("min_bytes: 5, max_bytes: 5", True), ("min_bytes: 6, max_bytes: 5", False)])
def test_some_size_must_be_allowed(tmp_path: Path, sizes: str, fits: bool) -> None:
    assert (problems(tmp_path, "", sizes) == {}) == fits


def test_models_and_benchmarks_of_an_extended_recipe_are_found_from_the_new_place(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    documents = f"clean: [{STEP}], decontaminate: {{benchmarks: [bench/*.jsonl, /abs/x.csv]}}"
    (tmp_path / "base" / "r.yaml").write_text(RECIPE.format(source=f"clean: [{STEP}]", documents=documents))
    (tmp_path / "child.yaml").write_text("extends: base/r.yaml\nname: child\n")
    recipe = load_recipe(tmp_path / "child.yaml").recipe
    (step,) = recipe.documents.clean
    assert step.step == "perplexity" and step.model == "base/en.arpa"
    assert recipe.sources[0].clean == (step,)
    assert recipe.documents.decontaminate is not None
    assert recipe.documents.decontaminate.benchmarks == ("base/bench/*.jsonl", "/abs/x.csv")


@pytest.mark.parametrize("name", ["funnel.json", "Manifest.json"])
def test_a_source_cannot_be_called_like_a_file_beside_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "r.yaml").write_text(
        RECIPE.format(source="", documents="").replace("name: a,", f"name: {name},").replace(", }", "}")
    )
    with pytest.raises(RecipeError, match="a file of the artifact has that name"):
        load_recipe(tmp_path / "r.yaml")
