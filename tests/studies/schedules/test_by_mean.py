import math
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pellucid.recipe.study import SchedulesAnalysis
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.results import RunResult
from pellucid.studies.schedules.by_mean import by_mean_at, correlations
from pellucid.studies.schedules.cells import Cells, cells_of

Make = Callable[..., RunResult]
MEANS = {"cosine": 5e-4, "rsqrt": 3.6e-4, "hyb": 3.8e-4, "hyb2": 5.6e-4}


def bits(run: RunResult) -> float:
    return run.bits_per_byte()


def cells(make_run: Make, law: Callable[[str], float], noise: float, generator: np.random.Generator) -> Cells:
    runs = []
    for seed in (1, 2, 3):
        at = 2 + generator.normal(0, 0.05)
        runs += [make_run({"schedule": name}, seed, at + law(name) + generator.normal(0, noise)) for name in MEANS]
    return cells_of(runs, SchedulesAnalysis())


def line(name: str) -> float:
    return 0.04 * MEANS[name] / MEANS["cosine"]


values = st.lists(st.integers(-20, 20).map(float), min_size=3, max_size=5)


@settings(max_examples=50)
@given(x=values, y=values)
def test_correlations_are_those_of_scipy_and_p_counts_every_order(x: list[float], y: list[float]) -> None:
    x, y = x[: len(y)], y[: len(x)]
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    found, stats = correlations(x, y), scipy_part("stats")
    assert found["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    rho = stats.spearmanr(x, y).statistic
    assert found["spearman"] == pytest.approx(rho, abs=1e-9)
    orders = [abs(stats.pearsonr(stats.rankdata(x), order).statistic) for order in permutations(stats.rankdata(y))]
    assert found["p"] == pytest.approx(np.mean(np.array(orders) >= abs(rho) - 1e-9))
    assert found["least_p"] is not None and found["p"] is not None and found["least_p"] <= found["p"] <= 1


def test_few_points_cannot_show_a_rank_correlation_whatever_they_are() -> None:
    for count in (3, 4, 5, 6):
        found = correlations(list(range(count)), list(range(count)))
        assert found["spearman"] == pytest.approx(1.0)
        assert found["p"] == found["least_p"] == pytest.approx(2 / math.factorial(count))
    assert correlations([1, 2], [1, 2]) == dict.fromkeys(("pearson", "spearman", "p", "least_p"))
    assert correlations([1, 1, 1], [1, 2, 3])["p"] is None
    many = correlations(list(range(9)), [0, 1, 2, 3, 5, 4, 6, 8, 7])
    assert many["p"] is not None and many["p"] < 1e-3 and many["least_p"] == 0


def test_four_schedules_in_order_of_their_means_are_too_few_and_it_is_said(make_run: Make) -> None:
    found = by_mean_at(cells(make_run, line, 1e-6, np.random.default_rng(0)), None, bits, MEANS)
    assert [one["schedule"] for one in found["points"]] == list(MEANS)
    assert found["spearman"] == pytest.approx(1.0) and found["pearson"] == pytest.approx(1.0, abs=1e-3)
    assert found["p"] == pytest.approx(2 / 24) and found["verdict"] == "too few schedules to tell"
    assert [one["seed"] for one in found["by_seed"]] == [1, 2, 3]
    assert all(one["spearman"] == pytest.approx(1.0) for one in found["by_seed"])


def test_a_straight_line_is_seldom_called_more_and_a_bent_one_is(make_run: Make) -> None:
    generator, alarms, seen, draws = np.random.default_rng(0), 0, 0, 100
    for _ in range(draws):
        found = by_mean_at(cells(make_run, line, 0.005, generator), None, bits, MEANS)
        alarms += found["beyond"]["p"] < 0.05
        bent = by_mean_at(cells(make_run, lambda name: line(name) + 0.03 * (name == "rsqrt"), 0.005, generator), None, bits, MEANS)
        seen += bent["beyond"]["verdict"] == "more than the line explains"
    # Of 100 draws at 5 %: a binomial has 12 or fewer with p = 0.998.
    assert alarms <= 12 and seen > 0.9 * draws
    assert found["beyond"]["freedom"] == [2, 6]


@pytest.mark.parametrize("scatter", [0.0, 0.005, 0.05])
def test_the_slope_is_held_however_much_schedules_differ_beyond_the_line(make_run: Make, scatter: float) -> None:
    """Were runs its points, three quarters or fewer of the intervals would hold it at the widest scatter."""
    generator, covered, draws = np.random.default_rng(1), 0, 200
    for _ in range(draws):
        beyond = dict(zip(MEANS, generator.normal(0, scatter, len(MEANS)), strict=True))

        def law(name: str, beyond: dict[str, float] = beyond) -> float:
            return line(name) + beyond[name]

        slope = by_mean_at(cells(make_run, law, 0.005, generator), None, bits, MEANS)["slope"]
        covered += slope["low"] <= 0.04 <= slope["high"]
    # Of 200 draws at 5 %: a binomial has 18 or fewer with p = 0.993, and 3 or more with p = 0.997.
    assert covered >= draws - 18 and (scatter < 0.05 or covered <= draws - 3)


def test_error_and_p_of_the_slope_are_those_of_a_line_through_the_means_of_schedules(make_run: Make) -> None:
    own = cells(make_run, lambda name: line(name) + 0.03 * (name == "rsqrt"), 0.002, np.random.default_rng(3))
    means = [float(np.mean([bits(run) for run in own.ended(None, name)])) for name in MEANS]
    oracle = scipy_part("stats").linregress([rate / MEANS["cosine"] for rate in MEANS.values()], means)
    slope = by_mean_at(own, None, bits, MEANS)["slope"]
    assert (slope["value"], slope["stderr"], slope["p"]) == pytest.approx((oracle.slope, oracle.stderr, oracle.pvalue))
    assert (slope["freedom"], slope["error_of"]) == (2, "schedules")
    reach = scipy_part("stats").t.ppf(0.975, 2) * oracle.stderr
    assert (slope["low"], slope["high"]) == pytest.approx((oracle.slope - reach, oracle.slope + reach))


def test_the_noise_of_seeds_takes_over_where_schedules_lie_on_the_line_by_chance(make_run: Make) -> None:
    """Noise that adds up to nothing in every schedule and every seed leaves the means on the line."""
    noise = 0.01 * np.array([[1, -1, 0], [-1, 1, 0], [0, 1, -1], [0, -1, 1]])
    runs = [
        make_run({"schedule": name}, seed, 2 + line(name) + noise[at, seed - 1])
        for at, name in enumerate(MEANS)
        for seed in (1, 2, 3)
    ]
    slope = by_mean_at(cells_of(runs, SchedulesAnalysis()), None, bits, MEANS)["slope"]
    rates = np.array(list(MEANS.values())) / MEANS["cosine"]
    stderr = math.sqrt(float((noise**2).sum()) / 6 / 3 / float(((rates - rates.mean()) ** 2).sum()))
    assert slope["value"] == pytest.approx(0.04) and slope["stderr"] == pytest.approx(stderr)
    assert (slope["freedom"], slope["error_of"]) == (2, "seeds")
    assert slope["p"] == pytest.approx(2 * scipy_part("stats").t.sf(0.04 / stderr, 2))


def test_two_schedules_have_a_slope_without_any_certainty_and_none_without_a_seed_in_common(make_run: Make) -> None:
    two = [make_run({"schedule": name}, seed, 2 + line(name) + 0.1 * seed) for name in ("cosine", "hyb2") for seed in (1, 2)]
    found = by_mean_at(cells_of(two, SchedulesAnalysis()), None, bits, MEANS)
    unknown = dict.fromkeys(("stderr", "low", "high", "p", "error_of"))
    assert found["slope"] == {"value": pytest.approx(0.04), "freedom": 0, **unknown} and found["beyond"] is None
    apart = cells_of([two[0], two[3]], SchedulesAnalysis())
    assert by_mean_at(apart, None, bits, MEANS)["slope"] is None


def test_the_test_beyond_the_line_is_the_f_test_of_nested_models(make_run: Make) -> None:
    """Balanced, so that sums of squares can be had by means: those of schedules less that of the line."""
    own = cells(make_run, lambda name: 0.0, 0.01, np.random.default_rng(7))
    table = np.array([[bits(run) for run in own.ended(None, name)] for name in MEANS])  # schedules by seeds
    by_schedule, by_seed, whole = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = float(((table - by_schedule[:, None] - by_seed[None, :] + whole) ** 2).sum())
    rates = np.array(list(MEANS.values()))
    rates = rates - rates.mean()
    explained = 3 * float(rates @ by_schedule) ** 2 / float(rates @ rates)
    f = (3 * float(((by_schedule - whole) ** 2).sum()) - explained) / 2 / (rest / 6)
    found = by_mean_at(own, None, bits, MEANS)["beyond"]
    assert found["f"] == pytest.approx(f) and found["p"] == pytest.approx(scipy_part("stats").f.sf(f, 2, 6))


def test_the_schedules_nearest_in_their_means_are_compared(make_run: Make) -> None:
    found = by_mean_at(cells(make_run, lambda name: 0.2 * (name == "hyb"), 1e-3, np.random.default_rng(0)), None, bits, MEANS)
    nearest = found["nearest"]
    assert (nearest["a"], nearest["b"]) == ("rsqrt", "hyb") and nearest["ratio"] == pytest.approx(3.8 / 3.6)
    assert nearest["low"] <= 0.2 <= nearest["high"] and nearest["relative"] == pytest.approx(0.1, rel=0.1)


def test_too_little_to_compare_is_told_with_none(make_run: Make) -> None:
    one_seed = cells_of([make_run({"schedule": name}, 1, 2 + line(name)) for name in MEANS], SchedulesAnalysis())
    found = by_mean_at(one_seed, None, bits, MEANS)
    assert found["beyond"] is None and found["spearman"] == pytest.approx(1.0) and found["nearest"]["low"] is None
    one = cells_of([make_run({"schedule": "cosine"}, seed, 2.0) for seed in (1, 2)], SchedulesAnalysis())
    found = by_mean_at(one, None, bits, MEANS)
    assert found["slope"] is found["beyond"] is found["nearest"] is None and found["verdict"] == "not compared"
    assert by_mean_at(one, None, bits, {})["points"] == []
