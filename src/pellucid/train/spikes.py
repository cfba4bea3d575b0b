"""Loss spikes: noticed, rolled back, and the batches around them passed over for good.

PaLM (arXiv 2204.02311, section 5.1) went back to a checkpoint before each spike and left out the batches around it. Here a batch is
left out by not applying its step: step numbers and the order of data stay what they are, and the list of steps is all that a replay
needs.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pellucid.core.files import read_json, write_json
from pellucid.recipe.training import SpikesConfig
from pellucid.train.state import Progress

__all__ = ["LossSpike", "SkipList", "watch_for_spike"]

_LEAST_LOSSES = 20
"""Before there are so many, a loss has nothing to be compared with."""


class LossSpike(Exception):  # noqa: N818 (a signal from the loop to the stage, not a failure)
    """The loss of steps `first` to `last` (from 1, counted as in metrics.jsonl) stood out of those before."""

    def __init__(self, first: int, last: int, losses: Sequence[float], usual: float) -> None:
        self.first, self.last, self.losses, self.usual = first, last, tuple(losses), usual
        shown = ", ".join(f"{loss:.3f}" for loss in losses)
        super().__init__(f"loss spike in steps {first} to {last}: {shown}; usual before: {usual:.3f}")


def watch_for_spike(progress: Progress, config: SpikesConfig, loss: float) -> None:
    """Note the loss of the applied step `progress.step`; raise `LossSpike` after `patience_steps` high ones in a row.

    A loss is high when it lies more than `deviations` robust standard deviations (1.4826 times the median distance from the
    median) above the median of the last `window_steps` losses that were not. What is noted is part of `progress`, so a resumed run
    sees a spike in the same step.
    """
    if not config.deviations:
        return
    recent, high = progress.recent_losses, progress.high_losses
    if len(recent) >= min(_LEAST_LOSSES, config.window_steps):
        usual = statistics.median(recent)
        deviation = 1.4826 * statistics.median(abs(value - usual) for value in recent)
        if loss > usual + config.deviations * deviation:
            high.append(loss)
            if len(high) >= config.patience_steps:
                raise LossSpike(progress.step - len(high) + 1, progress.step, high, usual)
            return
    recent.extend((*high, loss))  # high ones that did not last were noise, and noise is part of what is usual
    high.clear()
    del recent[: -config.window_steps]


class SkipList:
    """The steps that a stage passes over, in `skips.json` of its folder, with what was seen."""

    def __init__(self, folder: Path, spikes: Sequence[dict[str, Any]] | None = None) -> None:
        """Read the list of a folder; or begin one with these spikes, which is not written yet."""
        self._path = folder / "skips.json"
        self.spikes: list[dict[str, Any]] = list(spikes or ())
        if spikes is None and self._path.is_file():
            self.spikes = read_json(self._path)

    @property
    def steps(self) -> frozenset[int]:
        """The numbers of the steps, from 1."""
        return frozenset(step for spike in self.spikes for step in range(spike["first_skipped"], spike["last_skipped"] + 1))

    def add(self, spike: LossSpike, back_to: int) -> None:
        """Pass over the steps of a spike, and the one before, whose update may have caused it. Not written yet."""
        first = max(1, spike.first - 1)
        seen = {"losses": list(spike.losses), "usual_loss": spike.usual, "rolled_back_to": back_to}
        self.spikes.append({"first_skipped": first, "last_skipped": spike.last, **seen})

    def steps_to_begin_with(self, steps: Sequence[int], most_steps: int) -> list[int]:
        """Return those of `steps` up to which another training that is alike for `most_steps` has the same bits.

        A spike that was only noticed later is none of the other's: what was passed over because of it, the other has applied.
        """
        late = [spike["first_skipped"] for spike in self.spikes if spike["last_skipped"] > most_steps]
        return [step for step in steps if step <= most_steps and all(step < first for first in late)]

    def until(self, step: int) -> list[dict[str, Any]]:
        """Return the spikes that a checkpoint of this step has behind it, whole or in part."""
        return [spike for spike in self.spikes if spike["first_skipped"] <= step]

    def write(self) -> None:
        """Make the list durable."""
        write_json(self._path, self.spikes)
