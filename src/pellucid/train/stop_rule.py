"""Ending a run before its length, by its own training loss: a probe that looks at whole windows of steps."""

import math
from collections.abc import Mapping
from pathlib import Path

from pellucid.core.errors import StoppedError
from pellucid.core.metrics import read_metrics
from pellucid.recipe.study import StopConfig
from pellucid.train.state import TrainState

__all__ = ["RuleStopError", "StopRule"]


class RuleStopError(StoppedError):
    """A rule of the study ended the run. `rule` is "target" or "above", `loss` the mean over the window that decided at `step`."""

    def __init__(self, rule: str, step: int, loss: float, limit: float) -> None:
        self.rule, self.step, self.loss, self.limit = rule, step, loss, limit
        told = "reached its target" if rule == "target" else "is above its limit"
        super().__init__(0, f"the training loss {told} at step {step}: {loss:.4f}, {limit:.4f} given")


class StopRule:
    """Looks after every `window_steps` steps at the mean loss of that window; raises `RuleStopError` when a rule says so.

    Losses are read from `metrics.jsonl`, which is the same whether a stage was resumed or not, and so is the step at which it ends.
    """

    def __init__(self, config: StopConfig, metrics: Path, target_loss: float | None) -> None:
        self._config, self._metrics, self._target = config, metrics, target_loss
        self._looked = 0

    def __call__(self, state: TrainState) -> None:
        """Look when a window is full."""
        if self.is_due(state.progress.step):
            self._look(state.progress.step)

    def is_due(self, step: int) -> bool:
        """Tell whether there is something to decide after this step."""
        return self._has_rules and step > 0 and step % self._config.window_steps == 0

    def check(self) -> None:
        """Look at every window that was trained already, under other rules or by another run; raise where one ends it."""
        if self._has_rules:
            self._look(max(self._losses(), default=0))

    def _look(self, step: int) -> None:
        """Decide by every whole window up to a step that was not looked at yet."""
        losses, window = self._losses(), self._config.window_steps
        while self._looked + window <= step:
            self._looked += window
            self._decide(self._looked, losses)

    @property
    def _has_rules(self) -> bool:
        return self._target is not None or self._config.above_loss is not None

    def _losses(self) -> dict[int, float]:
        return {one["step"]: one["loss"] for one in read_metrics(self._metrics) if one.get("loss") is not None}

    def _decide(self, step: int, losses: Mapping[int, float]) -> None:
        window = [losses.get(one, math.nan) for one in range(step - self._config.window_steps + 1, step + 1)]
        mean = math.fsum(window) / len(window)  # a step that was skipped leaves no number, and decides nothing
        if self._target is not None and mean <= self._target:
            raise RuleStopError("target", step, mean, self._target)
        above = self._config.above_loss
        if above is not None and step > self._config.after_steps and mean > above:
            raise RuleStopError("above", step, mean, above)
