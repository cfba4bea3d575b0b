import os

import pytest

from pellucid.core.threads_wait import THREADS_WAIT, as_given, let_threads_sleep, with_threads_wait


def emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREADS_WAIT:
        monkeypatch.setenv(name, "")  # so that what is set is taken back after the test
        monkeypatch.delenv(name)


def test_what_was_set_here_is_not_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied(monkeypatch)
    before = dict(os.environ)
    let_threads_sleep()
    assert dict(os.environ) == {**before, **THREADS_WAIT} and as_given() == before
    let_threads_sleep()
    assert as_given() == before
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert as_given() == {**before, "GOMP_SPINCOUNT": "7"}


@pytest.mark.parametrize("given", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_the_user_said_stays_and_nothing_is_added(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    emptied(monkeypatch)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    let_threads_sleep()
    assert dict(os.environ) == before == as_given() == with_threads_wait(before)
