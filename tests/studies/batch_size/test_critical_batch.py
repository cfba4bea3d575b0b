from typing import Any

import numpy as np
import pytest

from pellucid.studies.batch_size.critical_batch import Reached, fit_critical_batch
from pellucid.studies.least_squares import scipy_part

BATCHES = (4096, 8192, 12288, 16384)


def study(b_crit: float, noise: float, generator: np.random.Generator, seeds: int = 3, batches: Any = BATCHES) -> list[Reached]:
    """Runs as a study has them: the least batch has the tokens that it was given, and its noise is in the target of the others."""
    points = []
    for seed in range(seeds):
        own = generator.normal(0, noise)
        for batch in batches:
            shift = 0.0 if batch == batches[0] else generator.normal(0, noise) - own
            factor = (1 + batch / b_crit) / (1 + batches[0] / b_crit)
            points.append(Reached(seed, batch, 1e6 * factor * np.exp(shift)))
    return points


@pytest.mark.parametrize("b_crit", [500.0, 9000.0, 200_000.0])
def test_without_noise_the_law_that_made_the_runs_comes_back(b_crit: float) -> None:
    found = fit_critical_batch(study(b_crit, 0.0, np.random.default_rng(1)), 1)
    assert found is not None
    for name in ("value", "low", "high"):
        assert found["b_crit_tokens"][name] == pytest.approx(b_crit, rel=3e-3)
    e_min = 1e6 / (1 + 4096 / b_crit)
    assert found["e_min_tokens"]["value"] == pytest.approx(e_min, rel=1e-3)
    assert found["s_min_steps"]["value"] == pytest.approx(e_min / b_crit, rel=5e-3)
    # The law as it is printed, at every batch of the curve.
    curve = found["curve"]
    e, s = np.array(curve["tokens"]) / e_min, np.array(curve["steps"]) / (e_min / b_crit)
    np.testing.assert_allclose((e - 1) * (s - 1), 1.0, rtol=1e-2)
    assert found["side"] is None and found["runs"] == 12 and found["freedom"] == 8


def test_two_printed_points_have_one_law_through_them() -> None:
    # 50 B tokens at 4 M and 96 B at 16 M (Stable LM 2 report, Appendix D): E is straight in B.
    slope = 46e9 / (12 * 2**20)
    found = fit_critical_batch([Reached(0, 4 * 2**20, 50e9), Reached(0, 16 * 2**20, 96e9)], 1)
    assert found is not None
    assert found["b_crit_tokens"]["value"] == pytest.approx(50e9 / slope - 4 * 2**20, rel=1e-3)
    assert found["b_crit_tokens"]["low"] is None and found["spread"] is None and found["freedom"] == 0


def test_the_interval_holds_the_true_value_as_often_as_it_says() -> None:
    generator, inside, runs = np.random.default_rng(2), 0, 150
    for _ in range(runs):
        found = fit_critical_batch(study(9000.0, 0.03, generator), 1)
        assert found is not None
        low, high = found["b_crit_tokens"]["low"] or 0.0, found["b_crit_tokens"]["high"] or np.inf
        inside += low <= 9000 <= high
    # A binomial of 150 with p = 0.95 lies between 132 and 150 with 99.9 %.
    assert inside >= 132


def test_it_is_the_least_squares_fit_that_scipy_finds_with_blocks_that_lack_runs() -> None:
    points = study(9000.0, 0.05, np.random.default_rng(3))
    del points[5], points[-1]
    found = fit_critical_batch(points, 1)
    assert found is not None
    block_N = np.array([point.block for point in points], dtype=int)
    batch_N, log_N = (np.array([point.batch_tokens for point in points]), np.log([point.tokens for point in points]))

    def residuals(parameters: Any) -> Any:
        return log_N - parameters[1 + block_N] - np.log1p(batch_N / np.exp(parameters[0]))

    oracle = scipy_part("optimize").least_squares(residuals, [9.0, 13.0, 13.0, 13.0], xtol=1e-12, ftol=1e-12)
    assert found["b_crit_tokens"]["value"] == pytest.approx(np.exp(oracle.x[0]), rel=2e-3)
    assert found["spread"] == pytest.approx(np.sqrt(2 * oracle.cost / (10 - 4)), rel=1e-3)


def test_tokens_that_do_not_grow_have_a_critical_batch_above_and_steps_that_do_not_fall_one_below() -> None:
    flat = [Reached(seed, batch, 1e6) for seed in (1, 2) for batch in BATCHES]
    found = fit_critical_batch(flat, 1)
    assert found is not None
    assert (found["b_crit_tokens"]["value"], found["b_crit_tokens"]["high"], found["side"]) == (None, None, "above")
    assert found["b_crit_tokens"]["low"] > 100 * BATCHES[-1]
    assert found["e_min_tokens"]["value"] == pytest.approx(1e6, rel=1e-2)
    steep = [Reached(seed, batch, 100.0 * batch) for seed in (1, 2) for batch in BATCHES]
    found = fit_critical_batch(steep, 1)
    assert found is not None and found["side"] == "below" and found["b_crit_tokens"]["value"] is None
    assert found["s_min_steps"]["value"] == pytest.approx(100.0, rel=1e-2)


def test_what_runs_cannot_bound_is_told_as_open() -> None:
    generator, opened = np.random.default_rng(5), 0
    for _ in range(20):
        found = fit_critical_batch(study(60_000.0, 0.1, generator), 1)
        assert found is not None
        opened += found["b_crit_tokens"]["high"] is None
    assert opened > 10


def test_without_two_batch_sizes_in_a_block_there_is_no_law() -> None:
    assert fit_critical_batch([], 1) is None
    assert fit_critical_batch([Reached(1, 4096, 1e6), Reached(2, 8192, 1.2e6)], 1) is None
    assert fit_critical_batch([Reached(1, 4096, 1e6), Reached(1, 4096, 1.2e6)], 1) is None
    # A block of one run tells nothing of the law, and is left out.
    kept = [*study(9000.0, 0.01, np.random.default_rng(1), seeds=2), Reached(9, 8192, 1.0)]
    found = fit_critical_batch(kept, 1)
    assert found is not None and found["runs"] == 8
