import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pellucid.watch.curves import Curves, smoothed


def filled(values: np.ndarray, parts: list[int], buckets: int = 16) -> Curves:
    curves, done = Curves(buckets), 0
    for size in [*parts, len(values)]:
        part = values[done : done + size]
        steps = np.arange(done, done + len(part)) + 1.0
        curves.extend(steps, 100 * steps, {"loss": part, "half": np.where(steps % 2 == 0, part, np.nan)})
        done += len(part)
    return curves


@given(st.integers(0, 300), st.lists(st.integers(0, 50), max_size=8), st.integers(0, 2**31))
def test_a_bucket_keeps_mean_low_and_high_of_its_steps_however_they_came(count: int, parts: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    curves, whole = filled(values, parts), filled(values, [])
    assert curves.stride == whole.stride
    loss = curves.curve("loss")
    assert len(loss) <= 16
    for bucket in range(len(loss)):
        part = values[bucket * curves.stride : (bucket + 1) * curves.stride]
        assert np.isclose(loss.mean_K[bucket], part.mean())
        assert (loss.low_K[bucket], loss.high_K[bucket]) == (part.min(), part.max())
        assert loss.x_K[bucket] == min(count, (bucket + 1) * curves.stride)
    assert np.array_equal(loss.low_K, whole.curve("loss").low_K)
    assert np.array_equal(curves.curve("loss", by_tokens=True).x_K, 100 * loss.x_K)


def test_a_single_spike_among_a_hundred_thousand_steps_stays_visible() -> None:
    values = np.ones(100_000)
    values[77_777] = 50.0
    curve = filled(values, [], buckets=64).curve("loss")
    assert curve.high_K.max() == 50.0
    assert (curve.high_K > 1).sum() == 1


def test_a_channel_that_begins_late_or_misses_steps_has_only_its_own_values() -> None:
    curves = Curves(8)
    steps = np.arange(1.0, 5.0)
    curves.extend(steps, steps, {"a": steps})
    curves.extend(steps + 4, steps + 4, {"a": steps, "b": np.array([np.nan, 7.0, np.nan, 9.0])})
    late = curves.curve("b")
    assert late.x_K.tolist() == [6.0, 8.0]
    assert late.mean_K.tolist() == [7.0, 9.0]
    assert len(curves.curve("never")) == 0


def test_so_many_channels_are_kept_and_no_more() -> None:
    curves = Curves(4)
    one = np.ones(1)
    curves.extend(one, one, {f"source/{number}": one for number in range(600)})
    assert len(curves.names) == 512
    assert curves.is_full


def test_smoothing_keeps_a_constant_and_follows_a_step() -> None:
    curve = filled(np.concatenate([np.full(8, 2.0), np.full(8, 4.0)]), []).curve("loss")
    assert np.allclose(smoothed(curve), curve.mean_K)
    slow = smoothed(curve, 0.5)
    assert (np.diff(slow) > 0).all()
    assert 2.0 < slow[0] < slow[-1] < 4.0
    # What goes up in the middle goes up in the middle: the point where half the way is done has not moved by more than a step.
    assert abs(np.interp(3.0, slow, curve.x_K) - 8.5) < 1.5


def test_smoothing_takes_the_noise_out_and_moves_nothing_sideways() -> None:
    rng = np.random.default_rng(0)
    clean = np.sin(np.arange(2000) / 200)
    curve = filled(clean + 0.3 * rng.normal(size=2000), [], buckets=2000).curve("loss")
    assert np.abs(smoothed(curve) - clean)[20:-20].max() < 0.25
    assert np.corrcoef(np.diff(clean), np.gradient(smoothed(curve))[1:])[0, 1] > 0.2


def test_a_curve_from_some_place_on() -> None:
    curve = filled(np.arange(10.0), []).curve("loss").since(8)
    assert curve.x_K.tolist() == [8.0, 9.0, 10.0]
