from collections.abc import Callable

import pytest

from pellucid.watch.account import Account
from pellucid.watch.records import Parsed


def test_steps_events_spikes_and_skips_are_booked(line: Callable) -> None:
    account = Account()
    start = {"step": 0, "event": "start", "steps": 900, "parameters": 5}
    steps = [line(step) for step in range(1, 201)]
    steps[99]["loss"] = 30.0
    steps[149] |= {"skipped": True, "reason": "not finite", "loss": None}
    account.take(Parsed([], [start]))
    account.take(Parsed(steps[:120], []))
    account.take(Parsed(steps[120:], [{"step": 130, "event": "straggler", "message": "rank 1 is slow"}]))
    assert account.step == 200
    assert account.planned_steps == 900
    assert account.spikes.found == [(100, 30.0)]
    assert (account.skipped_count, list(account.skipped)) == (1, [(150, "not finite")])
    assert [event["event"] for event in account.events] == ["straggler"]
    assert account.lowest == (
        min(one["loss"] for one in steps if one["loss"]),
        min((one["loss"], one["step"]) for one in steps if one["loss"])[1],
    )
    assert account.curves.curve("loss").high_K.max() == 30.0
    assert len(account.curves.curve("loss")) == 199


def test_a_resume_adds_its_facts_and_is_remembered() -> None:
    account = Account()
    account.take(Parsed([], [{"step": 0, "event": "start", "steps": 10, "device": "cuda:0"}]))
    account.take(Parsed([], [{"step": 5, "event": "resume", "device": "cpu"}]))
    assert account.start["device"] == "cpu"
    assert account.resumes == [5]
    assert account.planned_steps == 10


def test_steps_that_do_not_come_after_the_one_before_are_damage(line: Callable) -> None:
    account = Account()
    account.take(Parsed([line(1), line(2), line(2), line(1), line(3)], []))
    assert account.step == 3
    assert account.damaged == 2


@pytest.mark.parametrize("told", [None, 0, -3, "9", True])
def test_a_length_that_is_none_is_not_believed(told: object) -> None:
    account = Account()
    account.take(Parsed([], [{"step": 0, "event": "start", "steps": told}]))
    assert account.planned_steps is None
