import pytest

from pellucid.evals.code.job import Limits, Outcome


@pytest.mark.parametrize("status", ["failed", "timeout", "memory", "killed", "refused"])
def test_only_passed_is_passed(status: str) -> None:
    assert Outcome("passed").passed
    assert not Outcome(status).passed  # type: ignore[arg-type]


def test_wall_time_leaves_a_busy_machine_more_than_the_cpu_time() -> None:
    assert Limits().wall_s >= 3 * Limits().cpu_s
