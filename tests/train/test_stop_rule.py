import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pellucid.recipe.study import StopConfig
from pellucid.train.stop_rule import RuleStopError, StopRule

LOSSES = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.jsonl"
    lines = [{"step": 0, "event": "start"}, *({"step": step, "loss": loss} for step, loss in enumerate(LOSSES, start=1))]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def at(step: int) -> Any:
    return SimpleNamespace(progress=SimpleNamespace(step=step))


def test_a_run_ends_at_the_first_whole_window_that_reached_the_target(metrics: Path) -> None:
    rule = StopRule(StopConfig(window_steps=2), metrics, 2.5)
    rule(at(0))
    rule(at(2))
    rule(at(3))  # no whole window
    with pytest.raises(RuleStopError, match=r"reached its target at step 4: 2\.5000, 2\.5000 given") as caught:
        rule(at(4))
    assert (caught.value.rule, caught.value.step, caught.value.loss) == ("target", 4, 2.5)
    assert caught.value.exit_status >= 128  # the ledger calls that a stop


def test_a_run_that_is_above_its_limit_ends_only_after_the_steps_it_is_given(metrics: Path) -> None:
    rule = StopRule(StopConfig(window_steps=2, above_loss=2.0, after_steps=2), metrics, None)
    rule(at(2))
    with pytest.raises(RuleStopError, match="above its limit at step 4"):
        rule(at(4))


def test_windows_that_were_trained_before_there_was_a_rule_are_looked_at_too(metrics: Path) -> None:
    with pytest.raises(RuleStopError) as caught:
        StopRule(StopConfig(window_steps=3), metrics, 1.0).check()
    assert caught.value.step == 6
    StopRule(StopConfig(window_steps=3), metrics, 0.5).check()
    # Also by a run that goes on behind them: it ends where it would have ended alone.
    with pytest.raises(RuleStopError) as caught:
        StopRule(StopConfig(window_steps=2), metrics, 2.5)(at(6))
    assert caught.value.step == 4


def test_a_step_that_was_skipped_decides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "".join(json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in ((1, None), (2, 1.0), (3, 1.0), (4, 1.0)))
    )
    with pytest.raises(RuleStopError) as caught:
        StopRule(StopConfig(window_steps=2, above_loss=5.0), path, 2.0)(at(4))
    assert caught.value.step == 4


def test_without_rules_nothing_is_read(tmp_path: Path) -> None:
    rule = StopRule(StopConfig(window_steps=1), tmp_path / "missing.jsonl", None)
    rule(at(1))
    rule.check()
