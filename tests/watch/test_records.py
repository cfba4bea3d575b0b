import math
from collections.abc import Callable

import numpy as np
import pytest

from pellucid.watch.records import columns_of, flat_values, number, parse_lines, parse_objects


def test_steps_events_and_damage_are_told_apart() -> None:
    lines = [
        b'{"step":0,"event":"start"}', b'{"step":1,"loss":2.5}', b'{"step":2,"loss":null}', b'{"step":3', b"[1]", b"",
        b'{"step":"4","loss":1}', b'{"step":true,"loss":1}', b'{"loss":1}', b'{"step":5}', b"\xff\xfe",
    ]  # fmt: skip
    parsed = parse_lines(lines)
    assert [record["step"] for record in parsed.steps] == [1, 2]
    assert [record["event"] for record in parsed.events] == ["start"]
    assert parsed.damaged == 8
    records, damaged = parse_objects([b'{"step":7,"text":"x"}', b"nonsense"])
    assert records == [{"step": 7, "text": "x"}]
    assert damaged == 1


@pytest.mark.parametrize("value", [None, "1", True, [], {}, float("inf"), float("nan")])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert math.isnan(number(value))


def test_columns_hold_the_same_numbers_as_the_records(line: Callable) -> None:
    records = [line(step) for step in range(1, 10)]
    steps_N, tokens_N, columns = columns_of(records)
    assert steps_N.tolist() == list(range(1, 10))
    assert tokens_N.tolist() == [4096 * step for step in range(1, 10)]
    for index, record in enumerate(records):
        flat = flat_values(record)
        assert flat == {name: column[index] for name, column in columns.items() if not np.isnan(column[index])}
    assert flat["source/code"] == records[-1]["loss_by_source"]["code"]
    assert flat["seconds/other"] == 0.019


def test_hostile_values_become_nothing(line: Callable) -> None:
    bad = line(2, loss="9", loss_by_source={"web": "1", "books": [2]}, seconds=[1], tokens=None, figures={"margin": "wide"})
    _, tokens_N, columns = columns_of([line(1), line(3), bad])
    assert np.isnan(columns["loss"][2])
    assert np.isnan(columns["source/web"][2])
    assert np.isnan(columns["figure/margin"]).all()
    assert tokens_N[2] == tokens_N[1]
    assert set(flat_values(bad)) == {"grad_norm", "lr", "tokens_per_s", "mfu", "mfu_6n", "memory_bytes"}
