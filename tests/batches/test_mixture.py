from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pellucid.batches.mixture import BLOCK_SEQS, build_mixture, check_weights
from pellucid.core.errors import DataError

weights_of = st.dictionaries(st.text(max_size=3), st.floats(0.01, 1.0), min_size=1, max_size=40)


def prefix_counts(pattern_P: np.ndarray, sources: int) -> np.ndarray:
    return np.cumsum(pattern_P[:, None] == np.arange(sources), axis=0)


@given(weights_of, st.sampled_from([4096, 5000]))
@example({"a": 1.0, "b": 1.0, "c": 1.0}, 4096)
@example({"big": 1.0, **{f"small{n}": 0.01 for n in range(30)}}, 4096)
@settings(max_examples=60, deadline=None)
def test_every_prefix_of_the_block_is_within_one_sequence_of_its_share(weights: dict[str, float], block: int) -> None:
    mixture = build_mixture(weights, block)
    exact = [Fraction(weight) for weight in weights.values()]
    counts = prefix_counts(mixture.pattern_P, len(weights))
    for source, weight in enumerate(exact):
        share = weight / sum(exact)
        served = np.arange(1, block + 1, dtype=object) * share.numerator
        assert np.all(np.abs(counts[:, source].astype(object) * share.denominator - served) < share.denominator)


@given(weights_of)
@settings(max_examples=30, deadline=None)
def test_quotas_add_up_to_the_block_and_are_its_shares_rounded_down_or_up(weights: dict[str, float]) -> None:
    mixture = build_mixture(weights)
    assert mixture.quota_S.sum() == BLOCK_SEQS == len(mixture.pattern_P)
    assert np.array_equal(np.bincount(mixture.pattern_P, minlength=len(weights)), mixture.quota_S)
    share_S = np.array(list(weights.values())) / sum(weights.values())
    assert np.all(np.abs(mixture.quota_S - share_S * BLOCK_SEQS) < 1)


def test_quotas_are_rounded_by_largest_remainder() -> None:
    assert build_mixture({"a": 0.5, "b": 0.27, "c": 0.23}, 10).quota_S.tolist() == [5, 3, 2]
    assert build_mixture({"a": 1, "b": 1, "c": 1}, 10).quota_S.tolist() == [4, 3, 3]


def test_weights_are_relative_and_equal_weights_take_turns() -> None:
    assert build_mixture({"a": 1, "b": 1}, 6).pattern_P.tolist() == [0, 1, 0, 1, 0, 1]
    assert np.array_equal(build_mixture({"a": 3, "b": 1}).pattern_P, build_mixture({"a": 0.75, "b": 0.25}).pattern_P)


@given(weights_of, st.integers(0, 3 * 4096))
@settings(max_examples=30, deadline=None)
def test_counts_in_closed_form_equal_a_walk_through_the_order(weights: dict[str, float], total: int) -> None:
    mixture = build_mixture(weights, 4096)
    source_N, visit_N = mixture.visits(np.arange(total))
    assert np.array_equal(mixture.counts(total), np.bincount(source_N, minlength=len(weights)))
    for source in range(len(weights)):
        assert np.array_equal(visit_N[source_N == source], np.arange((source_N == source).sum()))


def test_the_smallest_weight_that_is_accepted_is_served_in_every_block() -> None:
    mixture = build_mixture({"big": BLOCK_SEQS - 1.0, "small": 1.0})
    assert mixture.quota_S.tolist() == [BLOCK_SEQS - 1, 1]


@given(st.floats(1e-12, 5e-5), st.integers(1, 20))
@settings(max_examples=15, deadline=None)
def test_a_weight_too_small_for_the_block_is_refused_and_the_fix_that_is_named_works(weight: float, others: int) -> None:
    weights = {"tiny": weight, **{f"big{n}": 1.0 for n in range(others)}}
    with pytest.raises(DataError, match=r"weights\.tiny.*set it to 0 or to at least") as caught:
        build_mixture(weights)
    weights["tiny"] = float(str(caught.value).rpartition(" ")[2])
    assert build_mixture(weights).quota_S.min() >= 1


def test_all_faults_of_the_weights_are_named_at_once_with_the_nearest_fix() -> None:
    faults = check_weights({"wiky": 1.0, "books": -1.0, "code": float("nan")}, {"wiki": 0, "books": 0, "code": 0})
    assert len(faults) == 3
    assert "did you mean 'wiki'?" in faults[0]
    assert "got -1.0" in faults[1]
    assert "got nan" in faults[2]


def test_weights_that_are_all_zero_or_absent_are_refused() -> None:
    assert "no source has a weight above 0" in check_weights({"a": 0.0}, {"a": 0})[0]
    assert "no source has a weight above 0" in check_weights({}, {})[0]
