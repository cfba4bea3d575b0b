from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from pellucid.core.errors import RecipeError
from pellucid.recipe.cleaning import C4Step, GopherRepetitionStep, StepConfig
from pellucid.recipe.load import load_recipe

STEP: TypeAdapter[StepConfig] = TypeAdapter(StepConfig)


def test_a_step_is_known_by_its_name() -> None:
    assert STEP.validate_python({"step": "c4", "min_sentences": 3}) == C4Step(step="c4", min_sentences=3)


def test_thresholds_by_n_are_read_from_yaml_keys() -> None:
    step = STEP.validate_python({"step": "gopher_repetition", "max_top_ngram_char_frac": {"2": 0.5}})
    assert isinstance(step, GopherRepetitionStep) and step.max_top_ngram_char_frac == {2: 0.5}


@pytest.mark.parametrize("bad", [{"step": "c5"}, {}, {"step": "c4", "min_word": 3}, {"step": "pii", "kinds": []}])
def test_unknown_steps_and_keys_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        STEP.validate_python(bad)


RECIPE = """
name: t
sources: [{name: a, path: a.jsonl, weight: 1, category: Web}]
documents:
  clean: [{step: unicode}, {step: c4, min_word: 3}, {step: fine_web}, {step: gopher_quality, min_words: x}, {min_words: 3}]
  near_dedup: null
model: {preset: pocket, context_tokens: 300}
train:
  - {name: pretrain, length_tokens: 1e6, batch_tokens: 4097, seq_tokens: 256, micro_seqs: 16,
     schedule: {kind: constant, peak_lr: 1e-3}}
"""


def test_each_wrong_step_is_named_by_its_place_in_the_list_and_other_problems_are_found_as_well(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    with pytest.raises(RecipeError) as raised:
        load_recipe(tmp_path / "r.yaml")
    problems = {problem.field: problem for problem in raised.value.problems}
    assert problems["documents.clean[1].min_word"].message == "unknown key; did you mean min_words_per_line?"
    assert problems["documents.clean[2].step"].message.startswith("got 'fine_web'; must be one of unicode, boilerplate")
    assert problems["documents.clean[2].step"].fix == "did you mean fineweb?"
    assert problems["documents.clean[3].min_words"].message == "got 'x'; must be a whole number"
    assert problems["documents.clean[4].step"].message == "missing"
    assert "train[0].batch_tokens" in problems and len(problems) == 5


def test_a_resolved_recipe_shows_each_value_of_a_step_and_where_it_is_from(tmp_path: Path) -> None:
    good = RECIPE.replace(", min_word: 3}, {step: fine_web}", ", min_sentences: 3}").replace(", min_words: x}, {min_words: 3}", "}")
    (tmp_path / "r.yaml").write_text(good.replace("4097", "4096"))
    loaded = load_recipe(tmp_path / "r.yaml")
    assert [step.step for step in loaded.recipe.documents.clean] == ["unicode", "c4", "gopher_quality"]
    assert loaded.origins["documents.clean.c4.min_sentences"] == "given"
    assert loaded.origins["documents.clean.c4.max_word_chars"] == "default"
