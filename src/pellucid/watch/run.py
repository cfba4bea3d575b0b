"""A run as it is watched: its training stages in order, which of them is at work, and how far it is."""

import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from pellucid.core.errors import UsageError
from pellucid.watch.records import number
from pellucid.watch.stage import StageWatch

__all__ = ["RunWatch", "StageState"]

_RECIPE = "recipe.resolved.yaml"
_QUIET_S = 60.0
_QUIET_STEPS = 20


@dataclass(frozen=True)
class StageState:
    """How a stage stands: `waiting`, `training`, `quiet` (no new line for long) or `ended`.

    `quiet_s` is the time since the last line, `left_s` the time to the last step; None where it is not known.
    """

    name: str
    kind: str
    step: int
    steps: int | None
    quiet_s: float
    left_s: float | None

    @property
    def share(self) -> float | None:
        """The part that is done, 0 to 1; None where the number of steps is not known."""
        return min(1.0, self.step / self.steps) if self.steps else None


class RunWatch:
    """Follows a run's folder, or a single stage's. It may not have begun; folders that come up later are found.

    Stages that were set aside (`NAME.superseded-K`) are none of the run. Raises `UsageError` where nothing can ever come up.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir() and (path.exists() or not path.absolute().parent.is_dir()):
            raise UsageError(f"{path} is not the folder of a run; give for example runs/pocket, or a stage's folder in it")
        self.path = path
        self.stages: dict[str, StageWatch] = {}
        self._planned: dict[str, int | None] = {}
        self._recipe_seen: tuple[int, int] | None = None
        self.is_stage = (path / "metrics.jsonl").is_file()
        """Whether the folder is that of a single stage."""
        self.name = f"{path.absolute().parent.name}/{path.name}" if self.is_stage else path.absolute().name
        self._looked_at = -math.inf

    @property
    def current(self) -> str | None:
        """The stage that was written to last; before the first line the first stage, None when none is known."""
        begun = [name for name, stage in self.stages.items() if stage.has_begun]
        if not begun:
            return next(iter(self.stages), None)
        return max(begun, key=lambda name: self.stages[name].metrics.modified)

    @property
    def bytes_read(self) -> int:
        """Bytes read of all files so far."""
        return sum(stage.bytes_read for stage in self.stages.values())

    def close(self) -> None:
        """Let go of all files."""
        for stage in self.stages.values():
            stage.close()

    def poll(self, budget_s: float = 0.25) -> bool:
        """Read what is new in every stage; return whether there was anything."""
        changed = self.look_for_stages()
        for stage in self.stages.values():
            changed |= stage.poll(budget_s / len(self.stages))
        return changed

    def read_all(self) -> None:
        """Read everything that there is now."""
        self.look_for_stages()
        for stage in self.stages.values():
            stage.read_all()

    def state(self, name: str, now: float | None = None) -> StageState:
        """Return how a stage stands at `now` (seconds since the epoch)."""
        stage = self.stages[name]
        account = stage.account
        steps = account.planned_steps or self._planned.get(name)
        if not stage.has_begun:
            return StageState(name, "waiting", 0, steps, 0.0, None)
        if stage.is_ended:
            return StageState(name, "ended", account.step, max(account.step, 0) or steps, 0.0, None)
        quiet_s = max(0.0, (time.time() if now is None else now) - stage.metrics.modified)
        step_s = self._step_s(stage)
        patience = max(_QUIET_S, _QUIET_STEPS * step_s) if account.last else 10 * _QUIET_S
        kind = "quiet" if quiet_s > patience else "training"
        left_s = None
        if steps and account.last and kind == "training":
            left_s = max(0.0, (steps - account.step) * step_s - min(quiet_s, step_s))
        return StageState(name, kind, account.step, steps, quiet_s, left_s)

    def _step_s(self, stage: StageWatch) -> float:
        """Seconds of a step, all phases, over the newest ones: the mean, since saving and scoring come round again."""
        sums = [
            sum(value for value in map(number, record["seconds"].values()) if not math.isnan(value))
            for record in list(stage.account.recent)[-100:]
            if isinstance(record.get("seconds"), dict) and record["step"] > 1
        ]
        return statistics.fmean(sums) if sums else 0.0

    def look_for_stages(self) -> bool:
        """Look which stages there are; once a second at most, since most of the time nothing changes."""
        if time.monotonic() - self._looked_at < 1.0:
            return False
        self._looked_at = time.monotonic()
        if self.is_stage:
            folders = {self.path.name: self.path}
        else:
            self._read_recipe()
            folders = {name: self.path / name for name in self._planned}
            if not folders:
                found = sorted(self.path.glob("*/metrics.jsonl"), key=lambda file: file.stat().st_mtime)
                folders = {file.parent.name: file.parent for file in found if _is_stage_name(file.parent.name)}
        if list(folders) == list(self.stages):
            return False
        for name in self.stages.keys() - folders.keys():
            self.stages.pop(name).close()
        self.stages = {name: self.stages.get(name) or StageWatch(folder) for name, folder in folders.items()}
        return True

    def _read_recipe(self) -> None:
        """Take the stages' names and lengths from the resolved recipe. What cannot be read is passed over: metrics tell enough."""
        file = self.path / _RECIPE
        try:
            found = file.stat()
            seen = (found.st_mtime_ns, found.st_size)
            if seen == self._recipe_seen:
                return
            self._recipe_seen = seen
            stages = yaml.safe_load(file.read_bytes())["train"]
            self._planned = {stage["name"]: _planned_steps(stage) for stage in stages if _is_stage_name(stage["name"])}
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
            return


def _is_stage_name(name: object) -> bool:
    return (
        isinstance(name, str) and name.isprintable() and not name.startswith(".") and "/" not in name and ".superseded-" not in name
    )


def _planned_steps(stage: dict[str, object]) -> int | None:
    """Steps of a stage that learns from text; of one that reads examples only its metrics say."""
    length, batch = stage.get("length_tokens"), stage.get("batch_tokens")
    if stage.get("length_epochs") is not None or type(length) is not int or type(batch) is not int or batch < 1:
        return None
    return -(-length // batch)
