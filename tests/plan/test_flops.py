"""FLOPs against the speeds that reports print."""

import pytest

from pellucid.plan.flops import FORMULAS, flops_per_token, recomputed_flops_per_token
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.tuning import AdapterConfig


def test_tinyllamas_speed_is_51_percent_by_6n_and_59_with_attention(tinyllama: Recipe) -> None:
    flops = flops_per_token(tinyllama.model, 2048)
    assert 24_000 * flops["six_n"] / 312e12 == pytest.approx(0.508, abs=5e-4)
    assert 24_000 * flops["with_attention"] / 312e12 == pytest.approx(0.593, abs=5e-4)


def test_stable_lms_attention_adds_a_quarter(stable_lm: Recipe) -> None:
    flops = flops_per_token(stable_lm.model, 4096)
    assert flops["six_n"] == 6 * 1_644_515_328
    assert flops["with_attention"] - flops["six_n"] == 12 * 24 * 2048 * 4096


def test_what_cannot_be_avoided_is_less_and_every_count_has_its_formula(stable_lm: Recipe) -> None:
    flops = flops_per_token(stable_lm.model, 4096)
    assert flops["matmul"] < flops["with_attention"]
    assert flops.keys() == FORMULAS.keys()


def test_beside_frozen_weights_a_third_of_their_work_is_saved(stable_lm: Recipe) -> None:
    adapter = AdapterConfig(rank=16, targets=("query", "up"))
    full, tuned = flops_per_token(stable_lm.model, 4096), flops_per_token(stable_lm.model, 4096, adapter)
    added = 24 * 16 * (2048 + 2048 + 2048 + 5632)
    assert tuned["six_n"] == 4 * 1_644_515_328 + 6 * added
    assert full["with_attention"] - full["six_n"] == tuned["with_attention"] - tuned["six_n"]
    assert 0.66 < tuned["matmul"] / full["matmul"] < 0.75


def test_recomputation_is_a_third_of_the_work_in_the_blocks(stable_lm: Recipe) -> None:
    flops = flops_per_token(stable_lm.model, 4096)
    head_and_norms = 6 * (100_352 * 2048 + 49 * 2 * 2048)
    assert recomputed_flops_per_token(stable_lm.model, 4096) == (flops["matmul"] - head_and_norms) / 3
