import math
from typing import Any

import numpy as np
import pytest

from pellucid.studies.batch_size.noise_scales import compare_noise, noise_over_training
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.results import RunResult


def measured(step: int, square: float, trace: float) -> dict[str, Any]:
    scale = trace / square if square > 0 else None
    ends = {"low": None if scale is None else scale / 2, "high": None if scale is None else scale * 2}
    told = {"step": step, "tokens": step * 10, "noise_scale_tokens": scale, "gradient_norm_squared": square, "trace": trace}
    return told | ends


def run(level: str, seed: int, *noise: dict[str, Any]) -> RunResult:
    return RunResult(f"{level}-s{seed}", {"batch": level}, seed, "done", noise=noise)


def test_seeds_are_put_together_as_the_ratio_of_means_with_an_interval_by_their_pooled_spread() -> None:
    squares = {10: (0.5, 0.4, 0.6), 20: (0.2, 0.25, 0.15)}
    runs = [run("a", seed, *(measured(step, of[seed], 100.0) for step, of in squares.items())) for seed in range(3)]
    rows = noise_over_training(runs, "batch")
    assert [(row["level"], row["step"], row["tokens"], row["runs"]) for row in rows] == [("a", 10, 100, 3), ("a", 20, 200, 3)]
    logs = [np.log(100.0 / np.array(of)) for of in squares.values()]
    # A run's checkpoints are not independent: two degrees of freedom, not four.
    reach = scipy_part("stats").t.ppf(0.975, 2) * math.sqrt(np.mean([log_R.var(ddof=1) for log_R in logs])) / math.sqrt(3)
    for row, of in zip(rows, squares.values(), strict=True):
        scale = 100.0 / np.mean(of)
        assert row["noise_scale_tokens"] == pytest.approx(scale)
        assert (row["low"], row["high"]) == pytest.approx((scale * math.exp(-reach), scale * math.exp(reach)))


def test_one_seed_has_the_interval_of_its_own_measurement() -> None:
    (row,) = noise_over_training([run("a", 1, measured(10, 0.5, 100.0))], "batch")
    assert (row["noise_scale_tokens"], row["low"], row["high"]) == (200.0, 100.0, 400.0)
    assert noise_over_training([run("a", 1)], "batch") == [] == noise_over_training([run("a", 1, measured(10, 1, 1))], "mix")


def test_a_gradient_that_is_lost_in_noise_in_one_seed_is_averaged_and_in_all_is_none() -> None:
    rows = noise_over_training([run("a", 1, measured(10, -0.1, 100.0)), run("a", 2, measured(10, 0.5, 100.0))], "batch")
    assert rows[0]["noise_scale_tokens"] == pytest.approx(100 / 0.2) and rows[0]["values"] == [None, 200.0]
    assert rows[0]["low"] is None
    rows = noise_over_training([run("a", 1, measured(10, -0.1, 100.0))], "batch")
    assert rows[0]["noise_scale_tokens"] is None and compare_noise(rows, "a", None) is None
    broken = {**measured(10, 1.0, 1.0), "trace": None, "gradient_norm_squared": None}
    assert noise_over_training([run("a", 1, broken)], "batch") == []


@pytest.mark.parametrize(("b_crit", "same"), [(150.0, True), (1500.0, True), (2500.0, False), (15.0, False), (None, None)])
def test_the_last_noise_scale_is_of_the_critical_batchs_order_of_magnitude_or_not(b_crit: float | None, same: bool | None) -> None:
    rows = noise_over_training([run("a", 1, measured(10, 1.0, 40.0), measured(20, 1.0, 400.0), measured(30, 1.0, 200.0))], "batch")
    told = compare_noise(rows, "a", {"b_crit_tokens": {"value": b_crit, "low": None, "high": None}})
    assert told is not None and told["same_order"] is same
    assert told["ratio"] == (None if b_crit is None else pytest.approx(200 / b_crit))
    steps = [told[name]["step"] for name in ("first", "last", "least", "greatest")]
    assert steps == [10, 30, 10, 20] and told["mean_tokens"] == pytest.approx(640 / 3)
    assert compare_noise(rows, "b", None) is None
