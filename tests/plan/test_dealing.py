"""Over how many devices a batch can be dealt out: the plan and training must agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.plan.dealing import dealing_problem, device_counts, smaller_tensor_ways
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.world import World


def stage_of(recipe: Recipe, batch_seqs: int, ways: int = 1, micro_seqs: int = 1, *, exact: bool = False) -> TrainStageConfig:
    stage = recipe.train[0]
    parallel = stage.parallel.model_copy(update={"tensor_ways": ways})
    sizes = {"batch_tokens": batch_seqs * stage.seq_tokens, "micro_seqs": micro_seqs}
    return stage.model_copy(update={"parallel": parallel, "exact": exact, **sizes})


@given(devices=st.integers(1, 40), ways=st.integers(1, 8), batch=st.integers(1, 60), micro=st.integers(1, 5), exact=st.booleans())
def test_the_plan_refuses_what_training_refuses(
    stable_lm: Recipe, devices: int, ways: int, batch: int, micro: int, exact: bool
) -> None:
    stage = stage_of(stable_lm, batch, ways, micro, exact=exact)
    try:
        World(size=devices, tensor_ways=ways).check_batch(batch, micro if exact else None)
        refused = False
    except UsageError:
        refused = True
    assert (dealing_problem(stage, devices) is not None) == refused == (devices not in device_counts(stage))


def test_a_problem_names_what_does_not_divide(stable_lm: Recipe) -> None:
    assert dealing_problem(stage_of(stable_lm, 2048, 16), 8) == "parallel.tensor_ways 16 does not divide 8 devices"
    told = dealing_problem(stage_of(stable_lm, 20, 2), 6)
    assert told == "a batch of 20 sequences cannot be dealt out evenly to 3 groups of 2 devices"
    told = dealing_problem(stage_of(stable_lm, 8, micro_seqs=4, exact=True), 4)
    assert told is not None and told.endswith("to 4 devices in whole micro-batches of 4, as exact needs them")


@pytest.mark.parametrize(("batch", "ways", "devices", "found"), [(2048, 16, 8, [8, 4, 2, 1]), (9, 4, 6, [2]), (8, 1, 4, [])])
def test_smaller_tensor_ways_are_divisors_that_would_do(
    stable_lm: Recipe, batch: int, ways: int, devices: int, found: list[int]
) -> None:
    assert smaller_tensor_ways(stage_of(stable_lm, batch, ways), devices) == found
