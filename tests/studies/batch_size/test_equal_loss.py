import math
from typing import Any

import numpy as np
import pytest

from pellucid.studies.batch_size.crossing import Curve
from pellucid.studies.batch_size.equal_loss import Trace, to_equal_loss
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.results import RunResult


def line(batch: int, seed: int, reaches: float, end: float = 400.0, outcome: Any = "done", **more: Any) -> Trace:
    """A curve that falls by 1 in 100 tokens, from 10 on, and is at 9 after `reaches` tokens."""
    x_N = np.array([0.0, end])
    run = RunResult(f"{batch}-s{seed}", {"batch": str(batch)}, seed, outcome)
    return Trace(run, str(batch), batch, (seed,), Curve(x_N, 9 - (x_N - reaches) / 100), int(end), **more)


def test_a_run_reaches_what_the_baseline_of_its_seed_ended_with() -> None:
    traces = [line(1, 1, 50.0, 100.0), line(1, 2, 70.0, 100.0), line(4, 1, 90.0), line(4, 2, 190.0)]
    notes: list[str] = []
    found = to_equal_loss(traces, "1", 1, "a line", notes)
    assert found is not None and notes == []
    base, row = found["rows"]
    assert [one["target"] for one in row["of_runs"]] == pytest.approx([8.5, 8.7])
    assert [one["tokens"] for one in row["of_runs"]] == pytest.approx([140.0, 220.0])
    assert [one["steps"] for one in row["of_runs"]] == pytest.approx([35.0, 55.0])
    assert row["token_factor"]["value"] == pytest.approx(math.sqrt(1.4 * 2.2))
    assert row["step_factor"]["value"] == pytest.approx(4 / math.sqrt(1.4 * 2.2))
    assert base["token_factor"] == {"value": 1.0, "low": None, "high": None}
    assert (found["baseline_tokens"], found["baseline_steps"]) == (pytest.approx(100.0), pytest.approx(100.0))


def test_intervals_are_students_of_logs_with_a_spread_that_all_levels_share() -> None:
    reaches = {2: (60.0, 75.0, 71.0), 4: (110.0, 100.0, 140.0)}
    traces = [line(1, seed, 50.0, 100.0) for seed in (1, 2, 3)]
    traces += [line(batch, seed, at) for batch, of in reaches.items() for seed, at in enumerate(of, start=1)]
    found = to_equal_loss(traces, "1", 1, "a line", [])
    assert found is not None
    logs = {batch: np.log([(at + 50) / 100 for at in of]) for batch, of in reaches.items()}
    spread = math.sqrt(np.mean([log_R.var(ddof=1) for log_R in logs.values()]))
    reach = scipy_part("stats").t.ppf(0.975, 4) * spread / math.sqrt(3)
    assert (found["spread"], found["freedom"]) == (pytest.approx(spread), 4)
    for row, log_R in zip(found["rows"][1:], logs.values(), strict=True):
        assert row["spread"] == pytest.approx(log_R.std(ddof=1))
        for name, ends in (("token_factor", (-reach, reach)), ("tokens", (math.log(100) - reach, math.log(100) + reach))):
            assert (row[name]["low"], row[name]["high"]) == pytest.approx(tuple(np.exp(log_R.mean() + end) for end in ends))


def test_points_over_the_log_of_tokens_are_joined_there() -> None:
    def trace(batch: int, tokens: list[float], values: list[float]) -> Trace:
        run = RunResult(str(batch), {"batch": str(batch)}, 1, "done")
        return Trace(run, str(batch), batch, (1,), Curve(np.log(tokens), np.array(values)), 1, is_log=True)

    found = to_equal_loss([trace(1, [10.0, 100.0], [3.0, 2.0]), trace(2, [10.0, 1000.0], [3.0, 1.0])], "1", 1, "text", [])
    assert found is not None
    assert found["rows"][1]["tokens"]["value"] == pytest.approx(100.0)


def test_a_baseline_that_was_stopped_is_no_target() -> None:
    notes: list[str] = []
    traces = [line(1, 1, 50.0, 100.0), line(1, 2, 50.0, 60.0, outcome="stopped"), line(2, 1, 90.0), line(2, 2, 90.0)]
    found = to_equal_loss(traces, "1", 1, "a line", notes)
    assert found is not None and [row["runs"] for row in found["rows"]] == [1, 1]
    assert notes == ["By a line 2-s2 is left out: the baseline of its seed did not come to its end."]
    assert to_equal_loss(traces[1:2], "1", 1, "a line", notes) is None
    assert "nothing is compared" in notes[-1]


def test_a_level_that_did_not_get_there_has_a_lower_bound_and_no_part_in_the_law() -> None:
    notes: list[str] = []
    traces = [line(1, 1, 50.0, 100.0), line(2, 1, 60.0), line(4, 1, 500.0)]
    found = to_equal_loss(traces, "1", 1, "a line", notes)
    assert found is not None
    row = found["rows"][-1]
    assert (row["reached"], row["at_least_tokens"], row["tokens"]["value"]) == (0, pytest.approx(400.0), None)
    assert found["law"]["runs"] == 2 and notes == ["By a line 1 of 1 runs of 4 did not come to the target and stay."]
