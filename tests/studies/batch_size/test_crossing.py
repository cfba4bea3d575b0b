import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.studies.batch_size.crossing import Curve, first_below, reached_for_good, smoothed

LOSSES = st.lists(st.floats(0, 10), min_size=1, max_size=40)


@given(LOSSES, st.integers(1, 9), st.floats(0.3, 12))
def test_the_smoothed_loss_is_the_mean_over_its_window_wherever_it_is_asked(losses: list[float], batch: int, steps: float) -> None:
    window = steps * batch
    curve = smoothed(range(1, len(losses) + 1), losses, batch, window)
    if steps > len(losses):
        assert not len(curve.x_N)
        return
    assert (np.diff(curve.x_N) > 0).all()
    for share in (0.0, 0.31, 0.77, 1.0):
        x = curve.x_N[0] + share * (curve.x_N[-1] - curve.x_N[0])
        low, high = x - window / 2, x + window / 2
        # Step k stands for tokens (k - 3/2)·batch to (k - 1/2)·batch.
        parts = [(max(0.0, min(high, (k + 0.5) * batch) - max(low, (k - 0.5) * batch)), loss) for k, loss in enumerate(losses)]
        mean = sum(part * loss for part, loss in parts) / window
        assert np.interp(x, curve.x_N, curve.y_N) == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_a_straight_curve_is_crossed_where_it_is_whatever_the_batch(batch: int) -> None:
    # The loss of weights after x tokens is 10 - x / 100; step k reads it before its batch.
    steps = range(1, 600 // batch)
    curve = smoothed(steps, [10 - (k - 1) * batch / 100 for k in steps], batch, 24.0)
    assert reached_for_good(curve, 7.0) == pytest.approx(300.0)
    assert first_below(curve, 7.0) == pytest.approx(300.0)


def test_noise_shifts_the_crossing_of_no_batch_size_on_average() -> None:
    generator, found = np.random.default_rng(1), dict[int, list[float]]()
    for batch in (1, 2, 3, 4):
        steps = np.arange(1, 8000 // batch)
        for _ in range(150):
            # A batch of B tokens has a B-th of one token's variance.
            losses = 10 - (steps - 1) * batch / 1000 + generator.normal(0, 4 / np.sqrt(batch), len(steps))
            curve = smoothed(steps.tolist(), losses.tolist(), batch, 1000.0)
            last, first = reached_for_good(curve, 6.0), first_below(curve, 6.0)
            assert last is not None and first is not None and first <= last
            found.setdefault(batch, []).append((last + first) / 2)
    for crossings in found.values():
        assert abs(np.mean(crossings) - 4000) < 3.5 * np.std(crossings, ddof=1) / np.sqrt(len(crossings))


def test_a_crossing_counts_only_when_the_curve_stays_below() -> None:
    curve = Curve(np.arange(6.0), np.array([5.0, 3.0, 4.0, 2.0, 2.5, 1.0]))
    assert first_below(curve, 3.5) == pytest.approx(0.75)
    assert reached_for_good(curve, 3.5) == pytest.approx(2.25)
    assert reached_for_good(curve, 0.5) is None and first_below(curve, 0.5) is None
    assert reached_for_good(Curve(curve.x_N[:3], curve.y_N[:3]), 3.5) is None
    assert reached_for_good(curve, 9.0) == first_below(curve, 9.0) == 0.0
    assert reached_for_good(Curve(np.empty(0), np.empty(0)), 1.0) is None


def test_steps_that_are_missing_or_no_numbers_are_bridged() -> None:
    whole = smoothed([1, 2, 3, 4, 5], [5.0, 4.0, 3.0, 2.0, 1.0], 10, 20.0)
    gap = smoothed([1, 2, 4, 5], [5.0, float("nan"), 2.0, 1.0], 10, 20.0)
    np.testing.assert_allclose(gap.y_N, whole.y_N)
    assert not len(smoothed([1], [float("nan")], 10, 5.0).x_N)


def test_the_mean_over_a_runs_last_steps_is_where_its_curve_ends() -> None:
    losses = np.random.default_rng(2).normal(3, 1, 30).tolist()
    curve = smoothed(range(1, 31), losses, 4096, 8 * 4096)
    assert curve.y_N[-1] == pytest.approx(np.mean(losses[-8:]))
    assert curve.x_N[-1] == pytest.approx((30 - 0.5 - 4) * 4096)
