import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.evals.code.passk import mean_and_stderr, pass_at_k


@given(st.integers(1, 9), st.data())
def test_it_is_the_share_of_all_draws_of_k_programs_that_hold_one_that_passes(samples: int, data: st.DataObject) -> None:
    passed, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    draws = list(itertools.combinations([number < passed for number in range(samples)], k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


@given(st.integers(1, 300), st.data())
def test_it_is_the_stable_product_of_the_paper(samples: int, data: st.DataObject) -> None:
    passed, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    published = 1.0 if samples - passed < k else 1 - np.prod(1 - k / np.arange(samples - passed + 1, samples + 1))
    assert pass_at_k(samples, passed, k) == pytest.approx(published, abs=1e-9)


@pytest.mark.parametrize(("samples", "passed", "k"), [(5, 6, 1), (5, -1, 1), (5, 2, 6), (5, 2, 0)])
def test_impossible_counts_are_refused(samples: int, passed: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k} of {samples}"):
        pass_at_k(samples, passed, k)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_the_standard_error_is_that_of_a_mean_over_problems(values: list[float]) -> None:
    mean, stderr = mean_and_stderr(values)
    assert mean == pytest.approx(np.mean(values))
    assert stderr == pytest.approx(np.std(values, ddof=1) / len(values) ** 0.5, abs=1e-12)


def test_too_few_problems_have_no_error_and_none_no_mean() -> None:
    assert mean_and_stderr([]) == (None, None)
    assert mean_and_stderr([1.0]) == (1.0, None)
