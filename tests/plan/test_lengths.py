"""How long stages are."""

import math
from pathlib import Path

import pytest

from pellucid.plan.lengths import Basis, StageLength, length_of, length_word
from pellucid.recipe.load import load_recipe
from pellucid.recipe.recipe import Recipe

RECIPES = Path(__file__).parents[2] / "recipes"


def test_text_is_as_long_as_the_recipe_says(stable_lm: Recipe) -> None:
    assert length_of(stable_lm, stable_lm.train[0]) == StageLength(2_009_831_803_933, 239_591, "given")


def test_tokens_of_conversations_are_counted_where_all_are_given() -> None:
    tune = load_recipe(RECIPES / "smollm2-tune.yaml").recipe
    assert length_of(tune, tune.train[0]) == StageLength(201_000, 25, "counted")


def test_tokens_that_are_fewer_than_a_batch_are_known_too(pocket: Recipe) -> None:
    few = [f"conversations.{n}.available_tokens=100" for n in range(3)]
    found = load_recipe(RECIPES / "pocket.yaml", few).recipe
    assert [length_of(found, stage).basis for stage in found.train] == ["given", "counted", "counted", "about"]


def test_pairs_are_counted_and_tell_the_steps(pocket: Recipe) -> None:
    # Of 1 707 pairs a tenth is held out; two epochs in steps of 32.
    assert length_of(pocket, pocket.train[2]) == StageLength(round(2 * 0.9 * 159_000), 97, "counted")


def test_examples_are_at_most_a_sequence_each(zephyr: Recipe) -> None:
    sft, dpo, known = zephyr.train
    # Table 6 of the report: 826 938 conversations, and 63 169 and 12 859 pairs.
    assert length_of(zephyr, sft) == StageLength(3 * 826_938 * 4096, math.ceil(3 * 826_938 / 512), "at_most")
    assert length_of(zephyr, dpo) == StageLength(2 * 76_028 * 1024, 594, "at_most")
    # 10 000 messages with two answers each; the facts' own questions are in a file of their own.
    assert length_of(zephyr, known) == StageLength(6 * 20_000 * 1024, 469, "about")
    assert known.self_knowledge is not None
    alone = known.model_copy(update={"self_knowledge": known.self_knowledge.model_copy(update={"shot_repeats": 0})})
    assert length_of(zephyr, alone).basis == "at_most"


def test_a_stage_reads_what_it_names(zephyr: Recipe) -> None:
    named = zephyr.train[0].model_copy(update={"conversations": ("Deita",), "length_epochs": 0.5})
    assert length_of(zephyr, named) == StageLength(1430 * 4096, 3, "at_most")


def test_one_source_of_which_nothing_is_told_leaves_one_step(zephyr: Recipe, uncounted: Recipe) -> None:
    (_, *others), first = zephyr.conversations, uncounted.conversations[0]
    part = zephyr.model_copy(update={"conversations": (first, *others)})
    assert length_of(part, part.train[0]) == StageLength(512 * 4096, 1, "one_step")
    assert length_of(part, part.train[1]).basis == "at_most"
    limited = first.model_copy(update={"max_examples": 10})
    assert length_of(zephyr.model_copy(update={"conversations": (limited, *others)}), part.train[0]).basis == "at_most"


@pytest.mark.parametrize(
    ("bases", "word"), [({"given", "counted"}, ""), ({"about"}, "about "), ({"at_most", "about", "given"}, "at most about ")]
)
def test_the_weakest_length_gives_the_word(bases: set[Basis], word: str) -> None:
    assert length_word(bases) == word
