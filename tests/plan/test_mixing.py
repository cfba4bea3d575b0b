"""From weights, epochs, caps and temperature to shares."""

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pellucid.batches.mixture import BLOCK_SEQS
from pellucid.core.errors import RecipeError
from pellucid.plan.mixing import SMALLEST_SHARE, mix_of, mix_stages
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.mixture import MixtureConfig
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig


def recipe(base: Recipe, sources: dict[str, dict[str, Any]], *stages: dict[str, Any], **mixture: float) -> Recipe:
    """The pocket recipe with other sources and stages: lengths and what a stage says about the mixture."""
    rows = tuple(SourceConfig(name=name, path="x", category="Web", **keys) for name, keys in sources.items())
    train = tuple(
        TrainStageConfig.model_validate(base.train[0].model_dump() | {"name": f"s{index}"} | keys)
        for index, keys in enumerate(stages)
    )
    return base.model_copy(update={"sources": rows, "train": train, "mixture": MixtureConfig(**mixture)})


def tokens(mixed: Any) -> dict[str, float]:
    return {name: source.tokens for name, source in mixed.sources.items()}


def test_the_smallest_share_is_one_sequence_in_a_block() -> None:
    assert SMALLEST_SHARE * BLOCK_SEQS == 1


def test_plain_weights_are_passed_on_as_they_stand_and_need_no_sizes(pocket: Recipe) -> None:
    (mix,) = mix_stages(pocket)
    assert mix.weights == pocket.weights_of(pocket.train[0])
    assert sum(mix.shares.values()) == pytest.approx(1)
    assert sum(tokens(mix).values()) == pytest.approx(pocket.train[0].length_tokens)


def test_epochs_are_served_first_and_weights_share_the_rest(pocket: Recipe) -> None:
    made = recipe(
        pocket,
        {"a": {"epochs": 3, "available_tokens": 100_000}, "b": {"weight": 2}, "c": {"weight": 1}},
        {"length_tokens": 900_000},
    )
    (mix,) = mix_stages(made)
    assert tokens(mix) == pytest.approx({"a": 300_000, "b": 400_000, "c": 200_000})
    assert (mix.sources["a"].by, mix.sources["a"].amount) == ("epochs", 3)
    assert mix.shares == pytest.approx({"a": 1 / 3, "b": 4 / 9, "c": 2 / 9})
    # What shards hold goes before what the recipe expects.
    assert tokens(mix_stages(made, {"a": 200_000})[0])["a"] == pytest.approx(600_000)


def test_epochs_of_the_run_are_spread_over_the_stages_that_do_not_name_the_source(pocket: Recipe) -> None:
    sources = {"a": {"epochs": 2, "available_tokens": 100_000}, "b": {"weight": 1}}
    plain = mix_stages(recipe(pocket, sources, {"length_tokens": 900_000}, {"length_tokens": 100_000}))
    assert [tokens(mix)["a"] for mix in plain] == pytest.approx([180_000, 20_000])
    upsampled = recipe(pocket, sources, {"length_tokens": 900_000}, {"length_tokens": 100_000, "epochs": {"a": 0.5}})
    assert [tokens(mix)["a"] for mix in mix_stages(upsampled)] == pytest.approx([200_000, 50_000])
    weighted = recipe(pocket, sources, {"length_tokens": 900_000}, {"length_tokens": 100_000, "weights": {"a": 3}})
    assert [tokens(mix)["a"] for mix in mix_stages(weighted)] == pytest.approx([200_000, 75_000])


def test_a_cap_counts_the_whole_run_and_passes_the_rest_on_by_weight(pocket: Recipe) -> None:
    made = recipe(
        pocket,
        {"a": {"weight": 6, "max_epochs": 4, "available_tokens": 100_000}, "b": {"weight": 3}, "c": {"weight": 1}},
        {"length_tokens": 500_000},
        {"length_tokens": 1_000_000},
        {"length_tokens": 1_000_000},
    )
    first, second, third = mix_stages(made)
    assert tokens(first) == pytest.approx({"a": 300_000, "b": 150_000, "c": 50_000})
    assert not first.sources["a"].capped
    assert tokens(second) == pytest.approx({"a": 100_000, "b": 675_000, "c": 225_000})
    assert second.sources["a"].capped and second.sources["a"].wanted_tokens == pytest.approx(600_000)
    assert tokens(third) == pytest.approx({"a": 0, "b": 750_000, "c": 250_000})
    assert third.weights["a"] == 0 and third.sources["a"].capped
    assert mix_of(made, made.train[1]) == second


def test_a_temperature_flattens_sizes_and_a_stage_may_have_its_own(pocket: Recipe) -> None:
    sources = {
        "big": {"available_tokens": 10_000},
        "small": {"available_tokens": 100},
        "twice": {"weight": 2, "available_tokens": 100},
    }
    lengths = {"length_tokens": 1000}
    by_size, flat = mix_stages(recipe(pocket, sources, lengths, lengths | {"temperature": 2}, temperature=1))
    assert by_size.shares == pytest.approx({"big": 100 / 103, "small": 1 / 103, "twice": 2 / 103})
    assert flat.shares == pytest.approx({"big": 10 / 13, "small": 1 / 13, "twice": 2 / 13})
    assert flat.sources["twice"].by == "size" and flat.sources["twice"].amount == 2


def test_sources_that_are_all_given_by_epochs_are_scaled_to_the_length(pocket: Recipe) -> None:
    sources = {name: {"epochs": 1, "available_tokens": 100} for name in "ab"}
    (mix,) = mix_stages(recipe(pocket, sources, {"length_tokens": 300}))
    assert tokens(mix) == {"a": 150, "b": 150}
    assert mix.epochs_scale == 1.5


@pytest.mark.parametrize(
    ("sources", "mixture", "message"),
    [
        ({"a": {"epochs": 1}, "b": {"weight": 1}}, {}, "epochs of 'a' cannot be worked out"),
        ({"a": {"weight": 1, "max_epochs": 2}}, {}, "max_epochs of 'a' cannot be worked out"),
        ({"a": {"weight": 1}}, {"max_epochs": 2}, "max_epochs of 'a' cannot be worked out"),
        ({"a": {}}, {"temperature": 2, "max_epochs": 1}, "temperature and max_epochs of 'a' cannot be worked out"),
    ],
)
def test_a_size_that_is_needed_and_not_known_is_asked_for(
    pocket: Recipe, sources: dict[str, Any], mixture: dict[str, float], message: str
) -> None:
    made = recipe(pocket, sources, {"length_tokens": 1000}, **mixture)
    with pytest.raises(RecipeError, match=message) as caught:
        mix_stages(made)
    assert caught.value.problems[0].field == "sources[0].available_tokens"
    assert mix_stages(made, dict.fromkeys(sources, 1000))


def test_a_stage_that_cannot_be_filled_or_is_too_short_says_what_length_would_do(pocket: Recipe) -> None:
    capped = {name: {"weight": 1, "max_epochs": 2, "available_tokens": 100} for name in "ab"}
    with pytest.raises(RecipeError, match="allow for 400 tokens") as caught:
        mix_stages(recipe(pocket, capped, {"length_tokens": 401}))
    assert caught.value.problems[0].fix.startswith("set length_tokens to at most 400")
    assert tokens(mix_stages(recipe(pocket, capped, {"length_tokens": 400}))[0]) == {"a": 200, "b": 200}
    fixed = {"a": {"epochs": 3, "available_tokens": 100}, "b": {"weight": 1}}
    with pytest.raises(RecipeError, match="epochs alone ask for 300 tokens") as caught:
        mix_stages(recipe(pocket, fixed, {"length_tokens": 299}))
    assert caught.value.problems[0].field == "train[0].length_tokens"
    with pytest.raises(RecipeError, match="no source of this stage has any tokens"):
        mix_stages(recipe(pocket, {"a": {"epochs": 1}}, {"length_tokens": 299}), {"a": 0})


@given(
    st.lists(
        st.tuples(
            st.just(0.0) | st.floats(0.01, 5),
            st.none() | st.floats(0.1, 4),
            st.none() | st.just(0.0) | st.floats(1e-9, 0.2),
            st.integers(1, 10**6),
        ),
        min_size=1,
        max_size=8,
    ),
    st.lists(st.integers(1, 10**6), min_size=1, max_size=3),
    st.none() | st.floats(0.5, 10),
)
def test_whatever_is_asked_for_stages_are_filled_caps_are_kept_and_weights_share_alike(
    pocket: Recipe, drawn: list[Any], lengths: list[int], temperature: float | None
) -> None:
    sources: dict[str, dict[str, Any]] = {}
    for index, (weight, cap, epochs, available) in enumerate(drawn):
        amount = {"weight": weight, "max_epochs": cap} if epochs is None else {"epochs": epochs}
        sources[f"x{index}"] = {**amount, "available_tokens": available}
    made = recipe(
        pocket, sources, *({"length_tokens": length} for length in lengths), **({"temperature": temperature} if temperature else {})
    )
    assume(all(any(v > 0 for v in [*made.weights_of(s).values(), *made.spread_epochs(s).values()]) for s in made.train))
    try:
        mixes = mix_stages(made)
    except RecipeError as error:
        assert "tokens" in str(error)
        return
    used = dict.fromkeys(sources, 0.0)
    for stage, mix in zip(made.train, mixes, strict=True):
        assert math.isclose(sum(tokens(mix).values()), stage.length_tokens, rel_tol=1e-6)
        assert all(source.tokens >= 0 for source in mix.sources.values())
        rates = set()
        for name, source in mix.sources.items():
            used[name] += source.tokens
            weight = sources[name].get("weight")
            if weight and not source.capped and temperature is None:
                rates.add(round(math.log(source.tokens / weight), 6) if source.tokens else None)
            if sources[name].get("max_epochs") is not None:
                assert used[name] <= sources[name]["max_epochs"] * sources[name]["available_tokens"] * (1 + 1e-9)
        assert len(rates) <= 1, "those who are not capped get tokens in proportion to their weights"
