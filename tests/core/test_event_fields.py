from typing import Any

import pytest

from pellucid.core.event_fields import wrong_field

SOUND: dict[str, Any] = {
    "event": "alive",
    "at": "2026-11-22T10:00:00Z",
    "stage": "sft",
    "attempt": 1,
    "continues": False,
    "seconds": 0.5,
    "device": {"name": "here", "count": 1, "cores": None},
    "process": {"pid": 7, "host": "a", "since": None, "holds_run": True},
    "energy": {"joules": 0, "kind": "estimated", "counters": [], "missing": {}, "cpu_s": 0.1},
    "summary": {"steps": 3},
    "folder": None,
}


def test_what_ledgers_hold_is_sound_and_so_is_what_they_lack() -> None:
    assert wrong_field(SOUND) is None
    for name in SOUND:
        assert wrong_field({key: value for key, value in SOUND.items() if key != name}) is None
    assert wrong_field({}) is None and wrong_field({"event": "repaired", "bytes": "x"}) is None


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("attempt", "x"), ("attempt", 0), ("attempt", True), ("attempt", 1.5), ("seconds", "x"), ("seconds", -1), ("seconds", [1]),
        ("stage", 5), ("at", 5), ("continues", "no"), ("energy", 3), ("energy.joules", "x"), ("energy.missing", []),
        ("energy.counters", [1]), ("device", []), ("device.count", 0), ("process", "x"), ("process.pid", "x"),
        ("process.pid", 2**40), ("summary", "x"), ("folder", 1), ("message", {}),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_read_is_named_with_its_value_and_what_it_must_be(place: str, value: object) -> None:
    outer, _, inner = place.partition(".")
    wrong = wrong_field({**SOUND, outer: {**SOUND[outer], inner: value} if inner else value})
    assert wrong is not None and wrong.startswith(f"{place}: got {value!r}; must be ")


@pytest.mark.parametrize("fields", [{}, {"steps": 3}, {"steps": ["x"]}])
def test_skipped_steps_are_a_list_of_whole_numbers(fields: dict[str, Any]) -> None:
    wrong = wrong_field({"event": "steps_skipped", "stage": "sft", "attempt": 1, **fields})
    assert wrong is not None and wrong.startswith("steps: ")
