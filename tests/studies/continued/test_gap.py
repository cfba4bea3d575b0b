import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.recipe.study import ContinuedAnalysis
from pellucid.studies.continued.gap import (
    Curve,
    curve_of,
    expected_largest,
    gap_of_level,
    groups_of,
    mean_interval,
    noise_of,
    stability_gap,
    text_of,
)
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.results import RunResult, Scores

Make = Callable[..., RunResult]
CONFIG = ContinuedAnalysis(stage="continue", old=("old.a", "old.b", "old.c"), new=("new.a",))


def curve(*values: float) -> Curve:
    return Curve(tuple(1000 * at for at in range(len(values))), values)


def test_a_curve_that_dips_and_comes_back_is_described_as_it_went() -> None:
    gap = stability_gap(curve(2.0, 2.2, 2.5, 2.1, 1.9, 1.8))
    assert gap["dip"] == pytest.approx(0.5)
    assert gap["dip_percent"] == pytest.approx(25.0)
    assert (gap["worst_tokens"], gap["recovery_tokens"]) == (2000, 4000)
    assert gap["forgotten"] == pytest.approx(-0.2)
    assert gap["regained"] == pytest.approx(0.7)


def test_what_never_falls_back_has_a_dip_below_zero_and_what_ends_above_never_recovers() -> None:
    better = stability_gap(curve(2.0, 1.9, 1.7, 1.8))
    assert better["dip"] == pytest.approx(-0.1)
    assert better["recovery_tokens"] == 0
    assert stability_gap(curve(2.0, 1.9, 1.9, 2.1))["recovery_tokens"] is None
    # It was back once and left again: only where it stays counts.
    assert stability_gap(curve(2.0, 2.1, 1.9, 2.1, 1.9))["recovery_tokens"] == 4000


@given(st.lists(st.floats(0.5, 8.0), min_size=2, max_size=30))
def test_dip_less_what_was_regained_is_what_was_forgotten_and_after_recovery_nothing_is_above_the_start(
    values: list[float],
) -> None:
    gap = stability_gap(curve(*values))
    assert gap["dip"] - gap["regained"] == pytest.approx(gap["forgotten"], abs=1e-12)
    assert gap["regained"] >= 0
    assert gap["dip"] >= gap["forgotten"]
    back = gap["recovery_tokens"]
    assert (back is None) == (values[-1] > values[0])
    if back is not None:
        assert max(values[back // 1000 :]) <= values[0]
        assert back == 0 or values[back // 1000 - 1] > values[0]


def test_the_largest_of_normal_draws_has_its_known_means() -> None:
    assert expected_largest(1) == pytest.approx(0.0, abs=1e-9)
    assert expected_largest(2) == pytest.approx(1 / math.sqrt(math.pi), rel=1e-6)
    assert expected_largest(3) == pytest.approx(3 / (2 * math.sqrt(math.pi)), rel=1e-6)
    # Tippett's table of 1925, as far as it is printed.
    assert expected_largest(10) == pytest.approx(1.53875, abs=1e-5)
    assert expected_largest(100) == pytest.approx(2.50759, abs=1e-5)


def test_an_interval_is_students(make_run: Make) -> None:
    values = [0.2, 0.5, 0.1, 0.4]
    told = mean_interval([*values, None])
    oracle = scipy_part("stats").ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (told["low"], told["high"]) == pytest.approx(tuple(oracle))
    assert told["runs"] == 4
    assert mean_interval([0.3]) == {"mean": 0.3, "low": None, "high": None, "runs": 1}
    assert mean_interval([])["mean"] is None


def drawn(generator: np.random.Generator, shape: np.ndarray, sigma: float, runs: int = 3, of_run: float = 0.1) -> list[Curve]:
    return [curve(*map(float, shape + generator.normal(0, of_run) + generator.normal(0, sigma, len(shape)))) for _ in range(runs)]


def test_noise_is_found_whatever_the_shape_and_whatever_a_run_has_throughout() -> None:
    generator = np.random.default_rng(1)
    shape = 2 + 0.8 * np.exp(-np.arange(16) / 3.0)
    squares = [noise_of(drawn(generator, shape, 0.02)) or 0.0 for _ in range(400)]
    # 400 estimates with 28 degrees of freedom each: the mean square is known to 1.3 %.
    assert np.mean(np.square(squares)) == pytest.approx(0.02**2, rel=0.05)
    assert noise_of(drawn(generator, shape, 0.02, runs=1)) is None
    assert noise_of([curve(2.0, 2.1), curve(2.1, 2.3)]) is None


def test_without_a_dip_the_bias_is_what_the_dip_comes_to_and_no_dip_is_told() -> None:
    generator = np.random.default_rng(2)
    found = [gap_of_level(dict(zip("abc", drawn(generator, np.full(16, 2.0), 0.02), strict=True))) for _ in range(600)]
    dips, biases = [gap["dip"]["mean"] for gap in found], [gap["bias"] for gap in found]
    assert np.mean(dips) == pytest.approx(0.02 * expected_largest(15), rel=0.06)
    assert np.mean(biases) == pytest.approx(np.mean(dips), rel=0.06)
    # One side of a 95 % interval: 15 of 600 expected, 30 or more with p < 0.001.
    assert sum(gap["dip_verdict"] == "dips" for gap in found) < 30
    # Against 0 instead of the bias, a dip that is not there would be told every third time.
    assert sum(gap["dip"]["low"] > 0 for gap in found) > 150


def test_the_bias_is_an_upper_bound_where_the_curve_is_not_flat() -> None:
    generator = np.random.default_rng(3)
    shape = 2 + 0.3 * np.sin(np.arange(16) / 3.0)
    found = [gap_of_level(dict(zip("abc", drawn(generator, shape, 0.03), strict=True))) for _ in range(300)]
    excess = np.mean([gap["dip"]["mean"] for gap in found]) - (shape[1:].max() - shape[0])
    assert 0 < excess < np.mean([gap["bias"] for gap in found])


def test_the_interval_of_a_dip_that_is_there_covers_it_and_is_told() -> None:
    generator = np.random.default_rng(4)
    inside = told = 0
    for _ in range(400):
        runs = []
        for _ in range(3):
            depth = 0.5 + generator.normal(0, 0.05)
            runs.append(curve(2.0, 2.0 + depth / 2, 2.0 + depth, 2.0 + depth / 3, 2.0 + depth / 4))
        gap = gap_of_level(dict(zip("abc", runs, strict=True)))
        inside += gap["dip"]["low"] <= 0.5 <= gap["dip"]["high"]
        told += gap["dip_verdict"] == "dips" and gap["recovery_verdict"] == "comes part of the way back"
    assert 365 <= inside <= 394
    assert told > 390


def test_what_comes_back_what_does_not_and_what_cannot_be_told_are_three_things() -> None:
    jitter = (0.0, 0.004, -0.004)
    back = {f"r{j}": curve(2.0, 2.4 + j, 2.3, 2.1 - j, 1.9 + j) for j in jitter}
    lost = {f"r{j}": curve(2.0, 2.2 + j, 2.4 - j, 2.5 + j, 2.6 + j / 2) for j in jitter}
    unsure = {"a": curve(2.0, 2.4, 2.4, 2.3), "b": curve(2.0, 1.9, 2.0, 1.9), "c": curve(2.0, 2.9, 2.0, 2.5)}
    found = {name: gap_of_level(of) for name, of in (("back", back), ("lost", lost), ("unsure", unsure))}
    assert (found["back"]["dip_verdict"], found["back"]["recovery_verdict"]) == ("dips", "comes back")
    assert found["back"]["recovery_tokens"]["mean"] == pytest.approx(4000)
    assert (found["lost"]["dip_verdict"], found["lost"]["recovery_verdict"]) == ("dips", "does not come back")
    assert [of["gap_verdict"] for of in found.values()] == ["falls and returns", "only forgets", "cannot be told"]
    assert found["back"]["worst_tokens"] == {"least": 1000, "greatest": 1000}
    assert found["lost"]["recovered_runs"] == 0
    assert found["lost"]["recovery_tokens"]["mean"] is None
    assert (found["unsure"]["dip_verdict"], found["unsure"]["recovery_verdict"]) == ("cannot be told", None)
    improves = gap_of_level({f"r{j}": curve(4.0, 3.5 + j, 3.2, 3.0 + j) for j in jitter})
    assert (improves["dip_verdict"], improves["gap_verdict"]) == ("does not dip", "does not fall")


def test_what_is_forgotten_for_sure_has_dipped_though_the_depth_of_the_dip_is_not_known() -> None:
    flat = [3.0] * 11
    runs = {}
    for name, at, worst, end in (("a", 1, 3.2, 3.01), ("b", 2, 5.2, 3.0), ("c", 3, 3.4, 2.99)):
        runs[name] = curve(2.0, *flat[:at], worst, *flat[at:], end)
    gap = gap_of_level(runs)
    assert gap["dip"]["low"] < 0 < gap["bias"] < gap["forgotten"]["low"]
    assert gap["dip_verdict"] == "dips"
    # One run came back a good deal, the others hardly: that this is more than noise cannot be told.
    assert (gap["recovery_verdict"], gap["gap_verdict"]) == ("cannot be told", "falls, a return cannot be told")
    assert gap["worst_tokens"] == {"least": 2000, "greatest": 4000}


def test_text_that_falls_and_stays_there_is_not_called_a_gap_and_one_that_returns_is() -> None:
    generator = np.random.default_rng(5)

    def told(shape: np.ndarray) -> list[str]:
        draws = (drawn(generator, shape, 0.02) for _ in range(300))
        return [gap_of_level(dict(zip("abc", runs, strict=True)))["gap_verdict"] for runs in draws]

    stays = told(np.array([2.0] + [2.5] * 15))
    # One side of a 95 % interval: 7.5 of 300 expected, 17 or more with p < 0.002.
    assert stays.count("falls and returns") < 17
    assert set(stays) <= {"falls and returns", "only forgets", "falls, a return cannot be told"}
    returns = told(np.array([2.0] + [2.5 - 0.03 * at for at in range(15)]))
    assert returns.count("falls and returns") > 295


def test_the_openings_are_counted_from_the_points_least_and_greatest_over_runs(make_continued: Make) -> None:
    one = make_continued({"way": "plain"}, 1, [2.0, 3.0], [4.0, 2.5])
    small = make_continued({"way": "plain"}, 2, [2.0, 3.0], [4.0, 2.5])
    table = {"source": {**small.points[0].table["source"], "old.a": Scores(1.0, 5000, 2)}}
    small = replace(small, points=tuple(replace(point, table=table) for point in small.points))
    old = groups_of([one], CONFIG)[0]
    found = text_of([one, small], "continue", old)
    assert found == {"documents": {"least": 5, "greatest": 6}, "bytes": {"least": 7000, "greatest": 8000}}
    assert text_of([one], "pretrain", old)["bytes"] == {"least": 0, "greatest": 0}


def test_one_run_and_runs_measured_at_other_steps_have_no_bias_and_tell_nothing() -> None:
    one = gap_of_level({"a": curve(2.0, 2.5, 2.1)})
    assert (one["bias"], one["dip_verdict"], one["dip"]["low"]) == (None, "cannot be told", None)
    other = gap_of_level({"a": curve(2.0, 2.5, 2.1), "b": Curve((0, 500, 2000), (2.0, 2.6, 2.1))})
    assert other["bias"] is None


def test_groups_are_pooled_from_sources_and_a_source_without_text_is_none(make_continued: Make) -> None:
    run = make_continued({"way": "plain"}, 1, [2.0, 3.0], [4.0, 2.5])
    groups = {(group.kind, group.name): group for group in groups_of([run], CONFIG)}
    assert [*groups] == [
        *(("old", "old"), ("new", "new"), ("category", "Books"), ("category", "Web")),
        *(("source", "old.a"), ("source", "old.b"), ("source", "new.a")),
    ]
    found = curve_of(run, "continue", groups["category", "Web"])
    assert found is not None
    assert found.values == pytest.approx(((2000 * 2.0 + 2000 * 4.0) / 4000, (2000 * 3.0 + 2000 * 2.5) / 4000))
    assert curve_of(run, "pretrain", groups["old", "old"]) is None


def test_a_run_without_a_point_before_the_first_step_has_no_curve(make_continued: Make) -> None:
    run = make_continued({"way": "plain"}, 1, [2.0, 3.0, 2.5], [4.0, 2.5, 2.0])
    old = groups_of([run], CONFIG)[0]
    late = make_continued({"way": "plain"}, 1, [2.0, 3.0, 2.5], [4.0, 2.5, 2.0], points=run.points[1:])
    assert curve_of(run, "continue", old) is not None
    assert curve_of(late, "continue", old) is None
