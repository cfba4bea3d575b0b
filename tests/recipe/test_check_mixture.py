"""Mixtures and packings that cannot work."""

from collections.abc import Callable

import pytest

from pellucid.core.errors import Problem
from pellucid.recipe.load import LoadedRecipe

Problems = Callable[..., list[Problem]]
Load = Callable[..., LoadedRecipe]


@pytest.mark.parametrize(
    ("overrides", "field", "message", "fix"),
    [
        (["sources.wiki.weight=null"], "sources[0].weight", "missing; how much of the source is read", "weight: 1"),
        (["sources.wiki.epochs=2"], "sources[0]", "has both weight and epochs", "leave one out"),
        (
            ["sources.wiki={weight: null, epochs: 3, max_epochs: 2}"],
            "sources[0].epochs",
            "got 3; must be at most max_epochs = 2",
            "max_epochs is for weights",
        ),
        (["train.0.epochs={wikki: 1}"], "train[0].epochs.wikki", "names no source", "did you mean wiki?"),
        (["train.0.epochs={wiki: -1}"], "train[0].epochs.wiki", "got -1; must be 0 or more", ""),
        (
            ["train.0.epochs={wiki: 1}", "train.0.weights={wiki: 1}"],
            "train[0].epochs.wiki",
            "the stage gives this source a weight as well",
            "keep one",
        ),
        (
            ["train.0.weights={code-python: 0}", "train.0.epochs={wiki: 0}"],
            "train[0].weights",
            "every source has weight 0",
            "give a source a weight",
        ),
        (
            ["train.0.attention=cross_lingual", "train.0.lingual_parts=3"],
            "train[0].lingual_parts",
            "got 3; must be a power of two, up to 64, that divides seq_tokens = 512",
            "possible: 2, 4, 8",
        ),
        (
            ["train.0.attention=cross_lingual", "train.0.packing=best_fit"],
            "train[0].packing",
            "got best_fit; attention: cross_lingual is made of windows",
            "set packing: windows",
        ),
    ],
)
def test_an_impossible_mixture_is_told_with_its_nearest_fix(
    problems: Problems, overrides: list[str], field: str, message: str, fix: str
) -> None:
    found = problems(*overrides)
    assert [one.field for one in found] == [field], found
    assert found[0].message.startswith(message)
    assert found[0].fix.startswith(fix)


def test_parts_are_only_looked_at_where_languages_meet(load: Load) -> None:
    assert load("train.0.lingual_parts=3", "train.0.packing=best_fit").recipe.train[0].lingual_parts == 3
    assert load("train.0.attention=cross_lingual", "train.0.lingual_parts=8").recipe.train[0].attention == "cross_lingual"
