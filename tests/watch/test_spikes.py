import numpy as np
import pytest

from pellucid.watch.spikes import SpikeFinder


def losses(count: int, seed: int = 0) -> np.ndarray:
    return 3.0 + 0.05 * np.random.default_rng(seed).normal(size=count)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_stands_out_is_found_however_it_comes(size: int) -> None:
    values = losses(1000)
    values[[300, 301, 800]] = 6.0, 7.0, 4.5
    finder = SpikeFinder()
    for first in range(0, 1000, size):
        finder.extend(np.arange(first, min(1000, first + size)) + 1.0, values[first : first + size])
    assert finder.found == [(301, 6.0), (302, 7.0), (801, 4.5)]
    assert finder.count == 3


def test_noise_and_a_falling_curve_are_no_spikes() -> None:
    finder = SpikeFinder()
    steps = np.arange(20_000) + 1.0
    finder.extend(steps, losses(20_000) + 6 * np.exp(-steps / 500))
    assert finder.count == 0


def test_nothing_is_marked_at_the_beginning_and_missing_losses_are_passed_over() -> None:
    finder = SpikeFinder()
    finder.extend(np.arange(20) + 1.0, np.where(np.arange(20) == 10, 50.0, 3.0))
    finder.extend(np.array([21.0]), np.array([np.nan]))
    assert finder.count == 0


def test_a_loss_that_stays_high_becomes_what_is_usual_no_list_grows_without_end() -> None:
    finder = SpikeFinder()
    values = losses(5000)
    values[::5] = 9.0
    finder.extend(np.arange(5000) + 1.0, values)
    assert finder.count > 400
    assert len(finder.found) == 400
