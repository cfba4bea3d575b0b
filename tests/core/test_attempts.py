from pathlib import Path
from typing import Any

import pytest

from pellucid.core.attempts import Attempt, attempts_of, build_of, made_before, next_number, read_attempts
from pellucid.core.errors import ArtifactError
from pellucid.core.ledger import Ledger

ENERGY = {"joules": 30.0, "kind": "estimated", "counters": [], "missing": {}, "cpu_s": 2.5}
MEASURED = {"joules": 90.0, "kind": "measured", "counters": ["gpu 0"], "missing": {}, "cpu_s": 4.0}
MADE = {"folder": "pretrain", "manifest": "ab"}
HERE = {"pid": 1, "host": "a", "since": "5", "holds_run": True}


def event(name: str, stage: str, second: int = 0, **fields: Any) -> dict[str, Any]:
    return {"event": name, "at": f"2026-11-22T10:00:{second:02d}Z", "stage": stage, **fields}


def test_an_attempt_is_all_that_its_lines_say() -> None:
    found = attempts_of(
        [
            event("start", "pretrain", 1, attempt=1, continues=True, device={"name": "A100-40GB", "count": 4}, process=HERE),
            event("alive", "pretrain", 2, attempt=1, seconds=60.0, energy=ENERGY),
            event("steps_skipped", "pretrain", 3, attempt=1, steps=[7, 9]),
            event("end", "pretrain", 4, attempt=1, seconds=90.5, summary={"steps": 30}, energy=MEASURED, **MADE),
        ]
    )
    assert found == [
        Attempt(
            "pretrain", 1, 1, "2026-11-22T10:00:01Z", "2026-11-22T10:00:04Z", "end", 90.5, 90.0, True, True, "", {"steps": 30},
            "pretrain", "ab", 4, "2026-11-22T10:00:04Z", 4.0, 4, (7, 9), HERE,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("outcome", ["stop", "failure", "killed"])
def test_attempts_that_came_to_no_end_keep_their_time_and_energy(outcome: str) -> None:
    found = attempts_of(
        [
            event("start", "shards", attempt=1),
            event(outcome, "shards", 5, attempt=1, seconds=5.0, energy=ENERGY, message="no room left"),
            event("start", "shards", 6, attempt=2),
        ]
    )
    assert [(one.number, one.outcome, one.seconds, one.joules, one.message) for one in found] == [
        (1, outcome, 5.0, 30.0, "no room left"),
        (2, "running", 0.0, None, ""),
    ]


def test_of_one_that_runs_the_last_beat_is_known() -> None:
    (found,) = attempts_of(
        [
            event("start", "sft", attempt=3),
            event("alive", "sft", 9, attempt=3, seconds=60.0, energy=ENERGY),
            event("alive", "sft", 10, attempt=3, seconds=120.0, energy={**ENERGY, "joules": 61.0}),
        ]
    )
    assert (found.outcome, found.seconds, found.joules, found.last_line, found.ended_at) == ("running", 120.0, 61.0, 3, None)
    assert found.seen_at == "2026-11-22T10:00:10Z"


def test_attempts_of_one_stage_that_overlap_are_told_apart_by_their_numbers() -> None:
    found = attempts_of(
        [
            event("start", "evaluate --suite", attempt=1),
            event("start", "evaluate --suite", attempt=2),
            event("failure", "evaluate --suite", attempt=1, seconds=1.0, message="x"),
            event("end", "evaluate --suite", attempt=2, seconds=2.0),
        ]
    )
    assert [(one.number, one.outcome, one.seconds) for one in found] == [(1, "failure", 1.0), (2, "end", 2.0)]


def test_older_ledgers_count_as_far_as_they_tell() -> None:
    found = attempts_of(
        [
            event("start", "plan", inputs={}, recipe="5cc4"),
            event("end", "plan", seconds=0.05, summary={}),
            event("start", "pretrain", 1, inputs={}, recipe="5cc4"),
            event("start", "pretrain", 30, inputs={}, recipe="5cc4"),
            event("stop", "pretrain", 40, seconds=10.0, message="Stopped."),
            event("start", "pretrain", 50, attempt=3),
        ]
    )
    told = [(one.stage, one.number, one.outcome, one.seconds, one.joules) for one in found]
    assert told == [
        ("plan", 1, "end", 0.05, None),
        ("pretrain", 1, "killed", 0.0, None),
        ("pretrain", 2, "stop", 10.0, None),
        ("pretrain", 3, "running", 0.0, None),
    ]
    assert "not known" in found[1].message and found[0].devices is None


def test_one_that_was_taken_for_killed_and_writes_on_was_not() -> None:
    silent = [
        event("start", "pretrain", 1, attempt=1),
        event("alive", "pretrain", 2, attempt=1, seconds=10.0, energy=ENERGY),
        event("killed", "pretrain", 3, attempt=1, seconds=10.0, energy=ENERGY, message="killed; last seen after 10 s"),
    ]
    back = event("alive", "pretrain", 4, attempt=1, seconds=900.0, energy=ENERGY)
    end = event("end", "pretrain", 5, attempt=1, seconds=950.0, energy=MEASURED)
    twice = [*silent, silent[-1]]
    assert [(one.outcome, one.last_line) for one in attempts_of(twice)] == [("killed", 3)]
    (running,), (ended,) = attempts_of([*silent, back]), attempts_of([*silent, back, end])
    assert (running.outcome, running.seconds, running.message, running.ended_at) == ("running", 900.0, "", None)
    assert (ended.outcome, ended.seconds, ended.joules, ended.revived, ended.last_line) == ("end", 950.0, 90.0, 4, 5)
    assert [one.outcome for one in attempts_of([*silent, end])] == ["end"]


def test_two_that_were_begun_under_one_number_are_two_and_the_first_is_over() -> None:
    begun = [event("start", "evaluate --suite x", attempt=1), event("start", "evaluate --suite x", 2, attempt=1)]
    ends = [
        event("end", "evaluate --suite x", 3, attempt=1, seconds=5.0),
        event("end", "evaluate --suite x", 4, attempt=1, seconds=6.0),
    ]
    found = [(one.number, one.outcome, one.seconds, one.last_line) for one in attempts_of([*begun, *ends])]
    assert found == [(1, "killed", 0.0, 2), (1, "end", 5.0, 3)]


@pytest.mark.parametrize("fields", [{"attempt": "x"}, {"seconds": "x"}, {"energy": 3}])
def test_a_line_that_cannot_be_read_is_named_or_passed_over(fields: dict[str, Any]) -> None:
    lines = [event("start", "plan", attempt=1), event("end", "plan", **{"attempt": 1, "seconds": 1.0, **fields})]
    with pytest.raises(ArtifactError, match=rf"ledger\.jsonl, line 2: {next(iter(fields))}: got "):
        attempts_of(lines)
    assert [one.outcome for one in attempts_of(lines, checked=False)] == ["running"]


def test_events_of_no_attempt_are_passed_over() -> None:
    assert attempts_of([{"event": "repaired"}, {}, event("unchanged", "plan"), event("end", "plan", attempt=4)]) == []


def test_attempts_are_counted_by_stage_from_one() -> None:
    attempts = attempts_of([event("start", "plan", attempt=1), event("start", "sft", attempt=1), event("start", "plan", attempt=2)])
    assert [next_number(attempts, stage) for stage in ("plan", "sft", "dpo")] == [3, 2, 1]


def story(*lines: str) -> list[Attempt]:
    """Attempts of lines such as "start pretrain 1", "start+ pretrain 2" (which continues), "end plan 1"."""
    events = []
    for line in lines:
        name, stage, number = line.split()
        events.append(event(name.rstrip("+"), stage, attempt=int(number), continues=name.endswith("+"), seconds=1.0))
    return attempts_of(events)


def test_a_build_is_its_last_attempt_and_all_that_it_went_on_from() -> None:
    first = ("start pretrain 1", "killed pretrain 1", "start+ pretrain 2", "end pretrain 2")
    second = ("start pretrain 3", "stop pretrain 3", "start+ pretrain 4", "stop pretrain 4", "start+ pretrain 5", "end pretrain 5")
    for lines, numbers in ((first, [1, 2]), (first[:2], [1]), ((*first, *second), [3, 4, 5]), ((*first, *second[:2]), [1, 2])):
        assert [one.number for one in build_of(story(*lines), "pretrain")] == numbers
    assert build_of(story(*first), "sft") == []


@pytest.mark.parametrize(
    ("lines", "known", "ever"),
    [
        (["start plan 1", "end plan 1", "start pretrain 1", "end pretrain 1"], True, True),
        (["start pretrain 1", "end pretrain 1", "start plan 1", "end plan 1"], False, False),
        (["start plan 1", "start pretrain 1", "end plan 1"], False, False),
        # Planned again while training was interrupted: what it had shown by then was there to be seen.
        (["start plan 1", "end plan 1", "start pretrain 1", "start plan 2", "end plan 2", "start+ pretrain 2"], False, False),
        # Another recipe, planned and trained anew in the same run.
        (["start plan 1", "end plan 1", "start pretrain 1", "start plan 2", "end plan 2", "start pretrain 2"], True, False),
        (["start plan 1", "failure plan 1", "start pretrain 1"], None, None),
        (["start plan 1", "end plan 1"], None, None),
    ],
)
def test_what_was_made_before_is_told_by_the_order_of_lines(lines: list[str], known: bool | None, ever: bool | None) -> None:
    attempts = story(*lines)
    assert made_before(attempts, "plan", "pretrain") is known
    assert made_before(attempts, "plan", "pretrain", ever=True) is ever


def test_a_ledger_that_does_not_hold_is_not_summed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append("start", stage="plan", attempt=1)
    assert [one.stage for one in read_attempts(tmp_path)] == ["plan"]
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b"plan", b"plen"))
    with pytest.raises(ArtifactError, match=r"ledger\.jsonl, line 1 "):
        read_attempts(tmp_path)
