import numpy as np
import pytest

from pellucid.core.errors import MissingExtraError
from pellucid.studies.least_squares import fit, scipy_part


def test_the_difference_of_two_means_is_students_two_sample_test() -> None:
    stats = scipy_part("stats")
    a, b = np.array([1.0, 1.4, 1.1, 1.3]), np.array([0.8, 0.9, 1.1])
    design = np.zeros((7, 2))
    design[:4, 0] = design[4:, 1] = 1.0
    found = fit(design, np.concatenate([a, b])).contrast(np.array([1.0, -1.0]))
    oracle = stats.ttest_ind(a, b)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert found.p == pytest.approx(oracle.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(oracle.confidence_interval(0.95)))


def test_columns_that_depend_on_each_other_leave_contrasts_as_they_are() -> None:
    stats = scipy_part("stats")
    a, b = np.array([2.0, 2.5, 1.9]), np.array([2.1, 2.65, 2.02])
    # A column for each of two levels and for each of three blocks: rank 4 of 5.
    design = np.zeros((6, 5))
    for row in range(6):
        design[row, row // 3] = design[row, 2 + row % 3] = 1.0
    found = fit(design, np.concatenate([a, b]))
    assert found.freedom == 2
    paired = found.contrast(np.array([-1.0, 1.0, 0.0, 0.0, 0.0]))
    oracle = stats.ttest_rel(b, a)
    assert paired.value == pytest.approx(float((b - a).mean()))
    assert paired.p == pytest.approx(oracle.pvalue)


def test_without_freedom_there_is_a_value_and_no_interval() -> None:
    found = fit(np.eye(2), np.array([1.0, 3.0])).contrast(np.array([-1.0, 1.0]))
    assert found.value == pytest.approx(2.0)
    assert found.stderr is found.low is found.high is found.p is None


def test_without_scipy_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy.stats", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pellucid\[study\]'"):
        scipy_part("stats")
