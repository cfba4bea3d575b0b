from collections.abc import Callable

import numpy as np
import pytest

from pellucid.studies.level_fit import Cell, fit_levels, seed_means, unevenness
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


def drawn(random: np.random.Generator, noise: dict[str, float], seeds: int) -> list[Cell]:
    shift = random.normal(0, 0.2, seeds)
    return [Cell(level, seed, shift[seed] + random.normal(0, size)) for level, size in noise.items() for seed in range(seeds)]


def test_equal_noise_is_called_uneven_once_in_twenty_studies() -> None:
    random = np.random.default_rng(5)
    equal = dict.fromkeys("abcde", 0.05)
    found = [unevenness(drawn(random, equal, 3)) for _ in range(400)]
    alarms = sum(one is not None and one.p < 0.05 for one in found)
    assert 8 <= alarms <= 36  # a binomial of 400 with 0.05, p = 0.999
    assert {one.level for one in found if one is not None} == set("abcde")


def test_a_level_of_ten_times_the_noise_is_named_with_its_share() -> None:
    random = np.random.default_rng(6)
    noise = {**dict.fromkeys("abcdef", 0.02), "c": 0.2}
    found = [unevenness(drawn(random, noise, 3)) for _ in range(100)]
    told = [one for one in found if one is not None and one.p < 0.05]
    assert len(told) > 80
    assert all(one.level == "c" and one.share > 0.5 for one in told)


def test_two_levels_always_share_what_is_left_and_one_seed_leaves_nothing() -> None:
    random = np.random.default_rng(7)
    assert unevenness(drawn(random, {"a": 0.1, "b": 0.5}, 4)) is None
    assert unevenness(drawn(random, dict.fromkeys("abcd", 0.1), 1)) is None
    assert unevenness([]) is None
    assert unevenness([Cell(level, seed, 1.0) for level in "abc" for seed in range(3)]) is None
