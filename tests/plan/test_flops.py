"""FLOPs against the speeds that reports print."""

import pytest

from pellucid.plan.flops import FORMULAS, flops_per_token, recomputed_flops_per_token
from pellucid.recipe.recipe import Recipe


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


def test_recomputation_is_a_third_of_the_work_in_the_blocks(stable_lm: Recipe) -> None:
    flops = flops_per_token(stable_lm.model, 4096)
    head_and_norms = 6 * (100_352 * 2048 + 49 * 2 * 2048)
    assert recomputed_flops_per_token(stable_lm.model, 4096) == (flops["matmul"] - head_and_norms) / 3
