"""The mixing law on data drawn from it: parameters, coverage of forecasts, and what cannot be told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.evals.statistics import Floats
from pellucid.studies.mixes.law import (
    Law,
    fit_law,
    forecast_law,
    forecast_linear,
    independent_shares,
    lies_in,
    refit_laws,
    without_seeds,
)

SLOPES = np.array([-2.0, -0.3, 0.5])


def mixes(count: int, domains: int, draw: int) -> Floats:
    return np.asarray(np.random.default_rng(draw).dirichlet(np.ones(domains), count))


def test_parameters_of_a_law_without_noise_come_back() -> None:
    shares_NM = mixes(12, 3, 0)
    truth = Law(1.3, SLOPES)
    found = fit_law(shares_NM, truth.predict(shares_NM))
    assert found.law.constant == pytest.approx(1.3, abs=1e-5)
    assert found.law.slopes_M == pytest.approx(SLOPES, abs=1e-4)
    assert (found.parameters, found.freedom) == (4, 8)
    told = found.told()
    assert told["c"] + told["k"] * np.exp(shares_NM @ np.array(told["t"])) == pytest.approx(truth.predict(shares_NM), abs=1e-6)
    assert float(shares_NM.mean(axis=0) @ np.array(told["t"])) == pytest.approx(0.0, abs=1e-9), "k is that of the mean mix"


def test_parameters_of_a_noisy_law_come_back_on_average() -> None:
    shares_NM, constants, slopes = mixes(30, 3, 1), [], []
    for draw in range(20):
        noise_N = np.random.default_rng(draw).normal(0, 0.002, 30)
        found = fit_law(shares_NM, Law(1.3, SLOPES).predict(shares_NM) + noise_N).law
        constants.append(found.constant)
        slopes.append(found.slopes_M[0] - found.slopes_M[1])
    assert np.mean(constants) == pytest.approx(1.3, abs=4 * np.std(constants) / np.sqrt(20) + 0.01)
    assert np.mean(slopes) == pytest.approx(-1.7, abs=4 * np.std(slopes) / np.sqrt(20) + 0.02)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_constant_stays_between_nothing_and_the_least_loss(draw: int) -> None:
    losses_N = np.random.default_rng(draw).uniform(1.0, 3.0, 8)
    constant = fit_law(mixes(8, 3, draw), losses_N).law.constant
    assert 0 <= constant < losses_N.min()


def test_intervals_of_forecasts_hold_what_comes_in_about_95_of_100_studies() -> None:
    held = 0
    for draw in range(60):
        generator = np.random.default_rng(draw)
        shares_NM = np.repeat(generator.dirichlet(np.ones(2), 5), 3, axis=0)
        seeds_N, shift = np.tile(np.arange(3), 5), generator.normal(0, 0.05, 3)
        law = Law(1.0, np.array([-2.0, 0.3]))
        losses_N = law.predict(shares_NM) + shift[seeds_N] + generator.normal(0, 0.01, 15)
        new_M = generator.dirichlet(np.array([3.0, 3.0]))
        came = float(law.predict(new_M[None, :])[0]) + float(np.mean(shift + generator.normal(0, 0.01, 3)))
        found = fit_law(shares_NM, without_seeds(losses_N, seeds_N), seeds=3)
        assert found.freedom == 15 - 3 - 2
        held += forecast_law(found, new_M, 3, draw, resamples=200).holds(came) is True
    # A binomial of 60 with 0.95 is 51 or more with p = 0.999.
    assert held >= 51


def test_refitting_many_losses_at_once_is_fitting_each_by_itself() -> None:
    shares_NM = mixes(10, 3, 7)
    found = fit_law(shares_NM, Law(1.0, SLOPES).predict(shares_NM))
    noise_RN = np.random.default_rng(7).normal(0, 0.02, (20, 10))
    losses_RN = found.losses_N + noise_RN
    constants_R, slopes_RM = refit_laws(found, losses_RN)
    for losses_N, constant, slopes_M in zip(losses_RN, constants_R, slopes_RM, strict=True):
        alone = fit_law(shares_NM, losses_N)
        assert 0 <= constant < losses_N.min()
        squares = float(np.sum((Law(constant, slopes_M).predict(shares_NM) - losses_N) ** 2))
        assert squares == pytest.approx(float(np.sum(alone.residual**2)), rel=0.02)


def test_a_forecast_is_nearer_than_a_straight_line_where_the_law_holds_and_a_straight_line_is_exact_where_it_does_not() -> None:
    shares_NM, new_M = mixes(12, 3, 3), np.array([0.8, 0.1, 0.1])
    losses_N, truth = Law(1.0, SLOPES).predict(shares_NM), float(Law(1.0, SLOPES).predict(new_M[None, :])[0])
    law = float(fit_law(shares_NM, losses_N).law.predict(new_M[None, :])[0])
    assert abs(law - truth) < 1e-5 < abs(forecast_linear(shares_NM, losses_N, new_M) - truth)
    straight_M = np.array([2.0, 1.5, 3.0])
    assert forecast_linear(shares_NM, shares_NM @ straight_M, new_M) == pytest.approx(float(new_M @ straight_M))


def test_domains_that_vary_only_together_share_their_slope_and_are_not_forecast_apart() -> None:
    own = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    shares_NM = np.column_stack([own / 2, own / 2, 1 - own])
    assert independent_shares(shares_NM).shape == (3, 2)
    found = fit_law(shares_NM, 1 + np.exp(-3 * own))
    assert found.parameters == 3
    assert found.law.slopes_M[0] == pytest.approx(found.law.slopes_M[1])
    assert found.law.predict(shares_NM) == pytest.approx(1 + np.exp(-3 * own), abs=1e-6)
    assert found.reaches(np.array([0.3, 0.3, 0.4])) and not found.reaches(np.array([0.5, 0.1, 0.4]))
    assert lies_in(np.eye(3), np.array([0.5, 0.1, 0.4]))


def test_with_no_freedom_there_is_a_value_and_no_interval() -> None:
    shares_NM = mixes(4, 3, 5)
    forecast = forecast_law(fit_law(shares_NM, Law(1.0, SLOPES).predict(shares_NM)), shares_NM[0], 1, 1)
    assert forecast.value == pytest.approx(float(Law(1.0, SLOPES).predict(shares_NM)[0]), abs=1e-4)
    assert (forecast.low, forecast.high, forecast.holds(1.0)) == (None, None, None)


def test_what_a_seed_does_to_all_mixes_is_taken_out_and_the_mean_stays() -> None:
    seeds_N = np.array([1, 2, 1, 2])
    left = without_seeds(np.array([2.0, 2.5, 3.0, 3.5]), seeds_N)
    assert left == pytest.approx([2.25, 2.25, 3.25, 3.25])
