import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.studies.curves import band_of, smoothed, thinned
from pellucid.studies.results import Stage


def stage(losses: list[float], batch_tokens: int = 10, first: int = 1) -> Stage:
    steps = range(first, first + len(losses))
    return Stage("pretrain", len(losses), batch_tokens, 5, {}, steps, (), losses, ())


@given(st.lists(st.floats(0, 20), max_size=40), st.integers(1, 300), st.integers(1, 30))
def test_each_point_is_the_mean_of_the_steps_within_the_window(losses: list[float], window: int, first: int) -> None:
    tokens, smooth = smoothed(stage(losses, first=first), window)
    span = max(1, window // 10)
    assert tokens == [10 * (first + at) for at in range(len(losses))]
    assert smooth == pytest.approx([np.mean(losses[max(0, at + 1 - span) : at + 1]) for at in range(len(losses))])


def test_a_step_without_a_loss_is_missing_only_within_the_window() -> None:
    _, smooth = smoothed(stage([1.0, math.inf, 3.0, 5.0, 7.0]), 20)
    assert smooth[0] == 1.0
    assert math.isnan(smooth[1]) and math.isnan(smooth[2])
    assert smooth[3:] == [4.0, 6.0]
    with pytest.raises(ValueError, match="1 or more"):
        smoothed(stage([1.0]), 0)


@given(st.integers(0, 200), st.integers(2, 50))
def test_thinning_keeps_the_ends_and_the_order_and_no_more_than_asked(count: int, most: int) -> None:
    tokens = list(range(count))
    kept, losses = thinned((tokens, [float(one) for one in tokens]), most)
    assert len(kept) == min(count, most)
    assert kept[:1] == tokens[:1] and kept[-1:] == tokens[-1:]
    assert kept == sorted(set(kept))
    assert losses == kept
    gaps = np.diff(kept)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
    with pytest.raises(ValueError, match="2 or more"):
        thinned((tokens, losses), 1)


def test_a_band_is_of_the_tokens_that_all_curves_have() -> None:
    band = band_of([([10, 20, 30], [3.0, 2.0, 1.0]), ([20, 30, 40], [4.0, 2.0, 0.0]), ([20, 25, 30], [3.0, 9.0, 3.0])])
    assert band.tokens == [20, 30]
    assert band.mean == [3.0, 2.0]
    assert band.low == [2.0, 1.0]
    assert band.high == [4.0, 3.0]
    one = band_of([([10, 20], [3.0, 2.0])])
    assert (one.mean, one.low, one.high) == ([3.0, 2.0], None, None)
    assert band_of([]).tokens == band_of([([1], [1.0]), ([2], [1.0])]).tokens == []
