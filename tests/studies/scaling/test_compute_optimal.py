import numpy as np
import pytest

from pellucid.studies.scaling.compute_optimal import compute_optimal
from pellucid.studies.scaling.loss_law import LossLaw, Rung, fit_loss_law

A, EXPONENT_A, B, EXPONENT_B = 30.0, 0.3, 200.0, 0.35


def law(spread: float) -> LossLaw:
    generator = np.random.default_rng(4)
    rungs = []
    for n in (1e6, 2e6, 4e6):
        for d in (1e7, 3e7, 9e7):
            loss = 1.2 + A / n**EXPONENT_A + B / d**EXPONENT_B
            rungs.append(Rung("", n, d, 6 * n * d, tuple(loss * np.exp(generator.normal(0, spread, 3)))))
    found = fit_loss_law(rungs, resamples=100)
    assert found is not None
    return found


def test_the_optimum_is_the_least_loss_along_equal_compute() -> None:
    flops = 1e16
    found = compute_optimal(law(1e-7), flops)
    assert found is not None
    parameters_M = np.geomspace(1e6, 1e9, 200_001)
    loss_M = A / parameters_M**EXPONENT_A + B / (flops / 6 / parameters_M) ** EXPONENT_B
    best = parameters_M[loss_M.argmin()]
    assert found["parameters"]["value"] == pytest.approx(best, rel=0.01)
    assert found["tokens"]["value"] == pytest.approx(flops / 6 / best, rel=0.01)
    assert found["parameters_exponent"]["value"] == pytest.approx(EXPONENT_B / (EXPONENT_A + EXPONENT_B), rel=0.01)
    assert found["parameters_exponent"]["value"] + found["tokens_exponent"]["value"] == pytest.approx(1)


def test_noise_makes_the_interval_wide_around_the_truth() -> None:
    found = compute_optimal(law(0.001), 1e16)
    assert found is not None
    power = found["parameters_exponent"]
    assert power["low"] < EXPONENT_B / (EXPONENT_A + EXPONENT_B) < power["high"]
    assert power["high"] - power["low"] > 0.02


def test_a_law_of_compute_has_no_optimum() -> None:
    ladder = [Rung("", n, 4 * n, 24 * n**2, (2.0 * n**-0.1,)) for n in (1e5, 2e5, 4e5, 8e5)]
    found = fit_loss_law(ladder)
    assert found is not None
    assert compute_optimal(found, 1e16) is None
