from collections.abc import Callable

import pytest

from pellucid.studies.level_fit import Cell, fit_levels, seed_means
from pellucid.studies.results import RunResult

Make = Callable[..., RunResult]


def bits(run: RunResult) -> float:
    return run.bits_per_byte()


def test_a_cell_is_the_mean_over_what_all_levels_have_in_common(make_run: Make) -> None:
    runs = [make_run({"x": x, "y": y}, 1, value) for x, y, value in (("a", "p", 1.0), ("a", "q", 3.0), ("b", "p", 5.0))]
    assert seed_means(runs, "x", bits) == [Cell("a", 1, pytest.approx(1.0)), Cell("b", 1, pytest.approx(5.0))]
    runs.append(make_run({"x": "b", "y": "q"}, 1, 6.0))
    assert seed_means(runs, "x", bits) == [Cell("a", 1, pytest.approx(2.0)), Cell("b", 1, pytest.approx(5.5))]


def test_a_level_without_any_run_at_a_seed_takes_nothing_from_the_others(make_run: Make) -> None:
    runs = [make_run({"x": "a"}, 1, 1.0), make_run({"x": "b"}, 1, 2.0), make_run({"x": "a"}, 2, 3.0)]
    runs.append(RunResult("b-s2", {"x": "b"}, 2, "failed"))
    assert [(cell.level, cell.seed) for cell in seed_means(runs, "x", bits)] == [("a", 1), ("b", 1), ("a", 2)]


def test_a_contrast_that_no_seed_tells_is_none() -> None:
    fitted = fit_levels([Cell("a", 1, 1.0), Cell("b", 2, 2.0)])
    assert fitted is not None
    assert fitted.contrast({"a": 1.0, "b": -1.0}) is None
    assert fitted.contrast({"c": 1.0, "a": -1.0}) is None
    assert fit_levels([]) is None


def test_the_noise_has_levels_less_one_times_seeds_less_one_degrees_of_freedom() -> None:
    fitted = fit_levels([Cell(level, seed, 0.1 * seed + (level == "b")) for level in "abcd" for seed in range(3)])
    assert fitted is not None
    assert fitted.fit.freedom == 6
    told = fitted.contrast({"b": 1.0, "a": -1.0})
    assert told is not None
    assert told.value == pytest.approx(1.0)
