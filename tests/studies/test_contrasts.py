"""Contrasts of levels against effects, Student's test and closed forms."""

from collections.abc import Callable

import numpy as np
import pytest

from pellucid.studies.contrasts import contrast_of
from pellucid.studies.effects import effects_of
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.results import RunResult

Make = Callable[..., RunResult]


def bits(run: RunResult) -> float:
    return run.bits_per_byte()


def noisy(make_run: Make, levels: dict[str, float], seeds: int, noise: float, draw: int) -> list[RunResult]:
    generator = np.random.default_rng(draw)
    shift = generator.normal(0, 0.1, seeds)
    return [
        make_run({"x": name}, seed, value + shift[seed] + generator.normal(0, noise))
        for name, value in levels.items()
        for seed in range(seeds)
    ]


def test_a_difference_of_two_levels_is_what_effects_say(make_run: Make) -> None:
    runs = noisy(make_run, {"a": 2.0, "b": 2.1, "c": 1.9}, 3, 0.02, 1)
    row = effects_of(runs, "x", bits)["rows"][2]
    found = contrast_of(runs, "x", bits, {"c": 1.0, "a": -1.0})
    assert found is not None
    assert (found.value, found.low, found.high, found.p) == pytest.approx((row["difference"], row["low"], row["high"], row["p"]))


def test_a_sum_over_all_levels_with_two_seeds_a_level_is_students_test_of_the_sums(make_run: Make) -> None:
    # With as many levels as two, the noise within a block is that of the sum itself.
    runs = noisy(make_run, {"a": 2.0, "b": 2.1}, 5, 0.02, 2)
    found = contrast_of(runs, "x", bits, {"a": 2.0, "b": -2.0})
    sums = [2 * bits(one) - 2 * bits(other) for one, other in zip(runs[:5], runs[5:], strict=True)]
    oracle = scipy_part("stats").ttest_1samp(sums, 0)
    assert found is not None and (found.value, found.p) == pytest.approx((np.mean(sums), oracle.pvalue))


def test_intervals_of_a_contrast_hold_the_truth_in_95_of_100_studies(make_run: Make) -> None:
    weights = {"a": 0.25, "b": -1.25, "c": 1.0}
    held = 0
    for draw in range(200):
        found = contrast_of(noisy(make_run, {"a": 2.0, "b": 1.8, "c": 1.7}, 3, 0.03, draw), "x", bits, weights)
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= 0.25 * 2.0 - 1.25 * 1.8 + 1.7 <= found.high
    # A binomial of 200 with 0.95 lies in here with p = 0.999.
    assert 179 <= held <= 200


def test_what_the_runs_do_not_tell_is_not_told(make_run: Make) -> None:
    apart = [make_run({"x": "a"}, 1, 2.0), make_run({"x": "b"}, 2, 2.1)]
    assert contrast_of(apart, "x", bits, {"a": 1.0, "b": -1.0}) is None, "no seed has both"
    assert contrast_of(apart, "x", bits, {"a": 1.0, "c": -1.0}) is None
    assert contrast_of([], "x", bits, {"a": 1.0, "b": -1.0}) is None
    one_seed = [make_run({"x": "a"}, 1, 2.0), make_run({"x": "b"}, 1, 2.1)]
    found = contrast_of(one_seed, "x", bits, {"b": 1.0, "a": -1.0})
    assert found is not None and found.value == pytest.approx(0.1) and found.low is None
