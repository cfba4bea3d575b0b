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


def test_of_a_finished_stage_it_is_told_where_it_would_have_ended(metrics: Path) -> None:
    with pytest.raises(RuleStopError) as caught:
        StopRule(StopConfig(window_steps=3), metrics, 1.0).check_finished()
    assert caught.value.step == 6
    StopRule(StopConfig(window_steps=3), metrics, 0.5).check_finished()


def test_without_rules_nothing_is_read(tmp_path: Path) -> None:
    rule = StopRule(StopConfig(window_steps=1), tmp_path / "missing.jsonl", None)
    rule(at(1))
    rule.check_finished()
