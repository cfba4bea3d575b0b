"""Recipes with holes."""

import pytest

from pellucid.recipe.partial import UNKNOWN, UnknownValueError, assemble
from pellucid.recipe.recipe import Recipe

RAW = {
    "name": "x",
    "sources": [{"name": "a", "path": "b", "weight": 1, "category": "Web"}],
    "model": {"layers": 2},
    "train": [{"name": "p", "batch_tokens": 8, "seq_tokens": "x", "weights": {"a": "y"}}, 3],
}


def test_right_values_and_defaults_are_there_and_wrong_ones_refuse_to_be_used() -> None:
    wrong = {("train", 0, "seq_tokens"), ("train", 0, "weights", "a"), ("train", 1)}
    recipe = assemble(Recipe, RAW, wrong)
    assert recipe.sources[0].text_column == "text"
    assert recipe.model.layers == 2
    assert recipe.train[0].batch_tokens == 8
    assert recipe.train[0].optimizer.beta2 == 0.95
    for use in (
        lambda: recipe.train[0].seq_tokens + 1,
        lambda: recipe.train[0].weights["a"] if recipe.train[0].weights else None,
        lambda: recipe.train[1].name == "p",
        lambda: recipe.model.hidden > 3,
        lambda: recipe.train[0].batch_seqs,
        lambda: f"{recipe.model.hidden}",
    ):
        with pytest.raises(UnknownValueError):
            use()


def test_what_is_no_section_is_unknown() -> None:
    assert assemble(Recipe, "text", set()) is UNKNOWN
