import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.evals.statistics import bootstrap_ratio, kendall_tau, mcnemar, paired_difference


def test_the_bootstrap_error_of_a_mean_is_that_of_the_closed_form() -> None:
    values = np.random.default_rng(1).random(400) < 0.3
    found = bootstrap_ratio(values.astype(float), np.ones(400), 7, resamples=20_000)
    assert found["value"] == values.mean()
    assert found["stderr"] == pytest.approx(values.std() / math.sqrt(400), rel=0.03)
    assert found["low"] < found["value"] < found["high"]


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    held = 0
    for trial in range(300):
        found = bootstrap_ratio((generator.random(200) < 0.6).astype(float), np.ones(200), trial, resamples=400)
        held += found["low"] <= 0.6 <= found["high"]
    assert 0.90 < held / 300 < 0.985


def test_a_ratio_is_of_sums_and_a_seed_gives_the_same_error() -> None:
    top, bottom = np.array([1.0, 10.0, 3.0]), np.array([1.0, 5.0, 2.0])
    found = bootstrap_ratio(top, bottom, 3)
    assert found["value"] == 14 / 8
    assert found == bootstrap_ratio(top, bottom, 3)
    assert found["stderr"] != bootstrap_ratio(top, bottom, 4)["stderr"]


def test_one_item_has_no_error_and_none_has_no_value() -> None:
    assert bootstrap_ratio(np.ones(1), np.ones(1), 1)["stderr"] is None
    assert bootstrap_ratio(np.ones(0), np.ones(0), 1)["value"] is None
    assert bootstrap_ratio(np.ones(2), np.zeros(2), 1)["value"] is None


def test_mcnemar_is_the_binomial_test() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    for a, b in ((0, 0), (0, 1), (3, 10), (50, 80), (700, 701), (0, 2000)):
        expected = scipy_stats.binomtest(a, a + b).pvalue if a + b else 1.0
        assert mcnemar(a, b) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(0, 5) == 2 / 32


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30))
def test_tau_b_is_scipys(pairs: list[tuple[int, int]]) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    a, b = zip(*pairs, strict=True)
    expected = scipy_stats.kendalltau(a, b).statistic
    found = kendall_tau(a, b)
    assert (found is None and math.isnan(expected)) or found == pytest.approx(expected)


def test_tau_of_a_ranking_with_itself_is_one_and_with_its_reverse_minus_one() -> None:
    assert kendall_tau([3, 1, 2], [3, 1, 2]) == 1
    assert kendall_tau([3, 1, 2], [-3, -1, -2]) == -1
    assert kendall_tau([1, 1, 1], [1, 2, 3]) is None


def test_a_difference_that_is_there_is_found_and_one_that_is_not_is_not() -> None:
    generator = np.random.default_rng(5)
    base = generator.random(300)
    better = paired_difference(base + 0.05 + 0.1 * generator.standard_normal(300), base, 1)
    assert better["value"] == pytest.approx(0.05, abs=0.02)
    assert better["p"] < 0.001 and better["low"] > 0
    ps = [paired_difference(generator.standard_normal(50), np.zeros(50), trial, resamples=50)["p"] for trial in range(200)]
    assert 0.01 < np.mean(np.array(ps) < 0.05) < 0.11
    assert paired_difference(base, base, 1)["p"] == 1.0
