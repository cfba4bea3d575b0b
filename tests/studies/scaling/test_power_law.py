import math

import numpy as np
import pytest

from pellucid.studies.least_squares import scipy_part
from pellucid.studies.scaling.power_law import HUBER_DELTA, MOST_EXPONENT, fit_power_laws

LADDER = np.repeat([1.7e12, 4.0e12, 9.3e12, 2.4e13], 3)


def losses(sizes: np.ndarray, floor: float, term: float, exponent: float) -> np.ndarray:
    return np.asarray(floor + term * (sizes / sizes.max()) ** -exponent)


@pytest.mark.parametrize(("floor", "term", "exponent"), [(1.2, 0.8, 0.3), (0.4, 2.0, 0.05), (1.9, 0.01, 1.5)])
def test_a_law_without_noise_is_found_exactly(floor: float, term: float, exponent: float) -> None:
    found = fit_power_laws(LADDER[:, None], np.log(losses(LADDER, floor, term, exponent))[None])
    new = 7e13
    assert found.at(np.array([[new]]))[0, 0] == pytest.approx(floor + term * (new / LADDER.max()) ** -exponent, rel=1e-6)
    assert found.floor_R[0] == pytest.approx(floor, rel=1e-3)
    assert found.exponents_RK[0, 0] == pytest.approx(exponent, rel=1e-3)
    assert math.log(found.factors[0, 0]) == pytest.approx(math.log(term) + exponent * math.log(LADDER.max()), rel=1e-3)


def test_both_terms_are_found_where_parameters_and_tokens_vary_by_themselves() -> None:
    sizes_N2 = np.array([(n, d) for n in (1e6, 2e6, 4e6, 8e6) for d in (1e7, 2e7, 4e7, 8e7)])
    loss_N = 1.8172 + 482.01 / sizes_N2[:, 0] ** 0.3478 + 2085.43 / sizes_N2[:, 1] ** 0.3658
    found = fit_power_laws(sizes_N2, np.log(loss_N)[None])
    assert found.floor_R[0] == pytest.approx(1.8172, rel=1e-3)
    assert found.exponents_RK[0] == pytest.approx([0.3478, 0.3658], rel=1e-3)
    assert found.factors[0] == pytest.approx([482.01, 2085.43], rel=0.01)


def test_the_objective_is_no_greater_than_what_another_optimizer_reaches_from_many_starts() -> None:
    generator = np.random.default_rng(0)
    log_loss_RN = np.log(losses(LADDER, 1.2, 0.8, 0.3)) + generator.normal(0, 0.004, (4, len(LADDER)))
    log_loss_RN[2:] = np.log(losses(LADDER, 0.0, 2.0, 0.15)) + generator.normal(0, 0.004, (2, len(LADDER)))
    found = fit_power_laws(LADDER[:, None], log_loss_RN)
    scaled_N = np.log(LADDER / LADDER.max())

    def objective(theta: np.ndarray, log_loss_N: np.ndarray) -> float:
        # Hoffmann et al.: log E, log A and a, through a log-sum-exp; a million times as large, so that L-BFGS does not stop early.
        size_N = np.abs(np.logaddexp(theta[0], theta[1] - theta[2] * scaled_N) - log_loss_N)
        huber_N = np.where(size_N <= HUBER_DELTA, size_N**2 / 2, HUBER_DELTA * (size_N - HUBER_DELTA / 2))
        return float(1e6 * huber_N.sum())

    minimize = scipy_part("optimize").minimize
    bounds = [(-30, 1), (None, None), (0, MOST_EXPONENT)]
    for row, log_loss_N in enumerate(log_loss_RN):
        starts = [(e, r, a) for e in (-10, -1, 0.3) for r in (-1, 0.5) for a in (0.1, 0.4)]
        least = min(minimize(objective, start, (log_loss_N,), "L-BFGS-B", bounds=bounds).fun for start in starts)
        assert 1e6 * found.objective_R[row] <= least * (1 + 1e-6)


def test_few_starts_near_a_law_find_what_many_find() -> None:
    generator = np.random.default_rng(1)
    log_loss_RN = np.log(losses(LADDER, 1.2, 0.8, 0.3)) + generator.normal(0, 0.004, (100, len(LADDER)))
    sizes_N1 = LADDER[:, None]
    near = fit_power_laws(sizes_N1, log_loss_RN, near=fit_power_laws(sizes_N1, log_loss_RN[:1]))
    many = fit_power_laws(sizes_N1, log_loss_RN)
    at = np.array([[6e13]])
    assert near.objective_R.mean() == pytest.approx(many.objective_R.mean(), rel=1e-3)
    ends = [np.quantile(laws.at(at), [0.025, 0.5, 0.975]) for laws in (near, many)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-3)


def test_without_a_floor_a_law_is_a_straight_line_of_logs_and_one_outlier_does_not_turn_it() -> None:
    log_loss_N = 0.7 - 0.2 * np.log(LADDER / LADDER.max())
    log_loss_N[4] += 0.05
    found = fit_power_laws(LADDER[:, None], log_loss_N[None], has_floor=False)
    assert found.floor_R[0] == 0
    assert found.exponents_RK[0, 0] == pytest.approx(0.2, abs=2e-3)


def test_losses_on_a_straight_line_of_logs_have_no_floor() -> None:
    log_loss_N = 0.7 - 0.2 * np.log(LADDER / LADDER.max())
    line = fit_power_laws(LADDER[:, None], log_loss_N[None], has_floor=False)
    law = fit_power_laws(LADDER[:, None], log_loss_N[None])
    far = np.array([[1e15]])
    assert law.floor_R[0] == pytest.approx(0, abs=1e-4)
    assert law.at(far) == pytest.approx(line.at(far), rel=1e-4)
    bent_the_other_way = log_loss_N - 0.02 * np.log(LADDER / LADDER.max()) ** 2
    assert fit_power_laws(LADDER[:, None], bent_the_other_way[None]).floor_R[0] == pytest.approx(0, abs=1e-9)


def test_losses_that_do_not_fall_give_an_exponent_at_its_bound() -> None:
    sizes_N1 = np.array([[1.0], [2.0], [4.0], [8.0]])
    rising = fit_power_laws(sizes_N1, np.log([[1.0, 1.1, 1.2, 1.3]]))
    assert rising.exponents_RK[0, 0] == pytest.approx(0)
    assert np.isfinite(rising.at(sizes_N1)).all()
    falling_at_once = fit_power_laws(sizes_N1, np.log([[3.0, 2.0, 2.0, 2.0]]))
    assert falling_at_once.exponents_RK[0, 0] == MOST_EXPONENT
