"""Forecasts against power laws whose end is known, and against a curve that was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from pellucid.evals.forecast import MIN_POINTS, Forecast, advice, forecast

REAL = json.loads(Path(__file__).with_name("real_curve.json").read_text())


def test_a_curve_without_noise_is_continued() -> None:
    x = np.arange(1, 7) / 6
    for k, c in ((0.4, 0.0), (0.8, 0.3)):

        def law(u: float, k: float = k, c: float = c) -> float:
            return float(1.5 + 0.7 * (u + c) ** -k)

        made = forecast(x * 1e6, [law(u) for u in x], 2e6, seed=1)
        assert made is not None and made.low <= law(2.0) <= made.high
        assert made.high - made.low < 0.1 * (law(x[0]) - law(x[-1]))


@pytest.mark.parametrize("points", [4, 5, 8])
def test_the_interval_holds_what_comes_as_often_as_it_says(points: int) -> None:
    """300 power laws with noise, twice as far as was seen; 95 % less three standard errors of the share is 91 %."""
    random = np.random.default_rng(points)
    inside, x = 0, np.arange(1, points + 1) / points
    for number in range(300):
        k, c, a, b = random.uniform(0.1, 1.2), random.choice([0.0, 0.05, 0.2, 1.0]), random.uniform(0.5, 3), random.uniform(0.3, 2)
        scale = (1 / points + c) ** k
        y, end = a + b * scale * (x + c) ** -k, a + b * scale * (2 + c) ** -k
        noise = random.choice([0.003, 0.01, 0.03])
        made = forecast(x, y + noise * random.standard_normal(points), 2.0, bounds=(0.0, None), seed=number)
        assert made is not None
        inside += made.low <= end + noise * random.standard_normal() <= made.high
    assert inside / 300 >= 0.89 if points == 4 else inside / 300 >= 0.91


def test_the_interval_holds_what_came_in_a_measured_run() -> None:
    """Every later point forecast from every beginning of at least five points."""
    x, y = REAL["tokens"], REAL["bits_per_byte"]
    inside = []
    for last in range(5, len(x) - 1):
        for to in range(last + 1, len(x), 3):
            made = forecast(x[: last + 1], y[: last + 1], x[to], bounds=(0.0, None), seed=last)
            assert made is not None
            inside.append(made.low <= y[to] <= made.high)
    assert np.mean(inside) >= 0.9


def test_more_points_make_it_surer() -> None:
    x, y = REAL["tokens"], REAL["bits_per_byte"]
    widths = []
    for last in (6, 20):
        made = forecast(x[: last + 1], y[: last + 1], x[-1], seed=1)
        assert made is not None
        widths.append(made.high - made.low)
    assert widths[1] < 0.5 * widths[0]


def test_a_forecast_stays_within_what_the_score_can_be() -> None:
    made = forecast([1, 2, 3, 4, 5], [0.5, 0.7, 0.82, 0.9, 0.96], 50, bounds=(0.0, 1.0), seed=1)
    assert made is not None and 0.96 <= made.value <= made.high <= 1.0


def test_too_few_points_give_none_and_the_untrained_model_is_no_point() -> None:
    assert forecast([0, 1, 2, 3], [5.0, 4.0, 3.5, 3.2], 10) is None
    made = forecast([0, 1, 2, 3, 4], [99.0, 4.0, 3.5, 3.2, 3.0], 10)
    assert made is not None and made.points == MIN_POINTS and made == forecast([1, 2, 3, 4], [4.0, 3.5, 3.2, 3.0], 10)


def test_the_seed_makes_it_again() -> None:
    points = ([1, 2, 3, 4], [4.0, 3.5, 3.3, 3.1], 10)
    assert forecast(*points, seed=3) == forecast(*points, seed=3) != forecast(*points, seed=4)


def make(low: float, value: float, high: float) -> Forecast:
    return Forecast(1.0, 5, value, low, high, np.linspace(low, high, 1001))


def test_it_advises_to_stop_when_the_best_case_misses_the_target() -> None:
    losing, hoping = make(2.2, 2.4, 2.6), make(1.9, 2.4, 2.6)
    assert advice(losing, 2.5, higher_is_better=False, target=2.0)["why"] == ["target"]
    told = advice(hoping, 2.5, higher_is_better=False, target=2.0)
    assert not told["stop"] and 0 < told["target_probability"] < 0.2
    assert advice(make(0.4, 0.5, 0.6), 0.3, higher_is_better=True, target=0.7)["stop"]
    assert not advice(make(0.4, 0.5, 0.8), 0.3, higher_is_better=True, target=0.7)["stop"]


def test_it_advises_to_stop_when_a_gain_is_unlikely() -> None:
    assert advice(make(0.49, 0.5, 0.51), 0.5, higher_is_better=True, min_gain=0.02)["why"] == ["gain"]
    told = advice(make(0.40, 0.5, 0.60), 0.5, higher_is_better=True, min_gain=0.02)
    assert (
        not told["stop"]
        and told["expected_gain"] == pytest.approx(0.0)
        and told["gain_probability"] == pytest.approx(0.4, abs=0.01)
    )
    assert not advice(make(2.2, 2.4, 2.6), 2.5, higher_is_better=False)["stop"]
