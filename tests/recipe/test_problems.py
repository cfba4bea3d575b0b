"""Pydantic's errors in the words of the recipe."""

from collections.abc import Callable

import pytest

from pellucid.core.errors import Problem
from pellucid.recipe.problems import field_text, section_at, section_in, show_value
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import ScheduleConfig, TrainStageConfig

Problems = Callable[..., list[Problem]]


@pytest.mark.parametrize(
    ("override", "field", "message", "fix"),
    [
        ("sources.wiki.weight=-1", "sources[0].weight", "got -1; must be 0 or more", ""),
        ("documents.heldout_frac=1", "documents.heldout_frac", "got 1; must be less than 1", ""),
        ("train.0.schedule.peak_lr=0", "train[0].schedule.peak_lr", "got 0; must be more than 0", ""),
        ("model.rotary_frac=1.5", "model.rotary_frac", "got 1.5; must be 1 or less", ""),
        ("train.0.length_tokens=2M", "train[0].length_tokens", "got '2M'; must be a whole number", "write 2e6"),
        ("train.0.length_tokens=1.5", "train[0].length_tokens", "got 1.5; must be a whole number", ""),
        ("train.0.length_tokens=16.0", "train[0].length_tokens", "got 16.0; must be a whole number", "write 16"),
        ("train.0.length_tokens='16'", "train[0].length_tokens", "got '16'; must be a whole number", "write 16 without quotes"),
        ("train.0.length_tokens=true", "train[0].length_tokens", "got true; must be a whole number", ""),
        ("train.0.length_tokens=", "train[0].length_tokens", "got null; must be a whole number", ""),
        ("train.0.schedule.peak_lr=fast", "train[0].schedule.peak_lr", "got 'fast'; must be a number", ""),
        ("train.0.schedule.peak_lr=.nan", "train[0].schedule.peak_lr", "got nan; must be a finite number", ""),
        ("description=3", "description", "got 3; must be text", 'put it in quotes: "3"'),
        ("model.qkv_bias=yes", "model.qkv_bias", "got 'yes'; must be true or false", ""),
        (
            "train.0.schedule.kind=cosin",
            "train[0].schedule.kind",
            "got 'cosin'; must be one of cosine, rsqrt",
            "did you mean cosine?",
        ),
        ("export.formats=hf", "export.formats", "got 'hf'; must be a list", "write [hf]"),
        ("train.0.weights=3", "train[0].weights", "got 3; must be a mapping of names to values", ""),
        ("documents=3", "documents", "got 3; must be a section", ""),
        ("name=a b", "name", "got 'a b'; may hold only letters, digits", ""),
        ("train.0.name=Pre", "train[0].name", "got 'Pre'; may hold only a-z", ""),
        ("train=[]", "train", "must hold at least 1", "Training stages in order"),
    ],
)
def test_a_wrong_value_is_told_with_field_value_limit_and_fix(
    problems: Problems, override: str, field: str, message: str, fix: str
) -> None:
    found = problems(override)
    assert [one.field for one in found] == [field], found
    assert found[0].message.startswith(message)
    assert found[0].fix.startswith(fix)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds=1", "unknown key; did you mean seed?"),
        ("train.0.warmup_step=1", "unknown key; did you mean schedule.warmup_steps?"),
        ("train.0.batch_size=1", "unknown key; did you mean batch_tokens?"),
        ("length_tokens=1", "unknown key; did you mean train.length_tokens?"),
        ("documents.preset=x", "unknown key; only model takes a preset"),
        ("sources.wiki.zzzz=1", "unknown key"),
    ],
)
def test_an_unknown_key_gets_the_nearest_known_one(problems: Problems, override: str, message: str) -> None:
    found = problems(override)
    assert len(found) == 1
    assert found[0].message.startswith(message)


def test_a_missing_key_is_told_with_its_meaning_unless_it_is_there_mistyped(problems: Problems) -> None:
    from_text = (
        "name: x\nmodel: {preset: pocket}\nsources: [{name: a, path: b, category: Web}]\ntrain: [{name: p, lenght_tokens: 3}]\n"
    )
    found = {one.field: one for one in problems(text=from_text)}
    assert found["sources[0].weight"].message == "missing; how much of the source is read"
    assert found["sources[0].weight"].fix.startswith("weight: 1, epochs: 1")
    assert found["train[0].lenght_tokens"].message == "unknown key; did you mean length_tokens?"
    assert "train[0].length_tokens" not in found
    assert found["train[0].schedule"].message == "missing"
    assert found["train[0].schedule"].fix.startswith("Learning rate by step")


def test_places_and_values_are_shown_as_in_the_recipe() -> None:
    assert field_text(("train", 0, "weights", "a.b")) == "train[0].weights.a.b"
    assert [show_value(one) for one in (None, True, "x", 1e-3, {"a": 1})] == ["null", "true", "'x'", "0.001", "a mapping"]
    assert len(show_value("x" * 100)) <= 60


def test_sections_are_found_along_a_place() -> None:
    assert section_at(Recipe, ("train", 0)) is TrainStageConfig
    assert section_at(Recipe, ("train", 0, "schedule")) is ScheduleConfig
    assert section_at(Recipe, ("nothing", "here")) is None
    assert section_in(tuple[int, ...]) is None
