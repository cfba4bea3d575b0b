"""Which rank is slow: the time that each works by itself in a step, and who needs much more of it than the others.

Ranks wait for each other in every collective, so the time of a step is the same on all of them. What differs is the time between
collectives: reading data, and the forward pass without what FSDP waits for before each block.
"""

import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule

from pellucid.model.decoder import Decoder
from pellucid.train.device import Device

__all__ = ["OwnWork", "Stragglers"]


class OwnWork:
    """Measures the seconds that this rank works by itself, on the device's own clock (events of its stream on a GPU)."""

    def __init__(self, model: Decoder, device: Device) -> None:
        self._device = device
        self._spans: list[tuple[Any, Any]] = []
        self._waits: list[tuple[Any, Any]] = []
        self._begun: Any = None
        for module in model.modules():
            if isinstance(module, FSDPModule):
                # One hook before and one after FSDP's own, which gathers the parameters.
                module.register_forward_pre_hook(self._before_gathering, prepend=True)
                module.register_forward_pre_hook(self._after_gathering)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time of the block, except what is spent on gathering parameters."""
        begun = self._device.mark()
        yield
        self._spans.append((begun, self._device.mark()))

    def collect(self) -> float:
        """Return the seconds since the last call, and begin anew. On a GPU it must have done its work: the caller synchronises."""
        seconds = self._device.seconds(self._spans) - self._device.seconds(self._waits)
        self._spans.clear()
        self._waits.clear()
        return max(0.0, seconds)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _before_gathering(self, *_: Any) -> None:
        self._begun = self._device.mark()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _after_gathering(self, *_: Any) -> None:
        self._waits.append((self._begun, self._device.mark()))


class Stragglers:
    """Finds ranks whose own work takes `factor` times as long as the median of the others', in the median of `window` steps."""

    def __init__(self, size: int, *, window: int = 10, factor: float = 1.5) -> None:
        self._factor = factor
        self._recent: list[deque[float]] = [deque(maxlen=window) for _ in range(size)]
        self._slow: set[int] = set()

    def update(self, seconds_R: Sequence[float]) -> dict[int, float]:
        """Take one step's seconds of every rank; return the ranks that are found to be slow now and were not before, with their
        ratio. A rank is told of again only after it was no longer slow."""
        for recent, seconds in zip(self._recent, seconds_R, strict=True):
            recent.append(seconds)
        if len(self._recent) < 2 or len(self._recent[0]) < (self._recent[0].maxlen or 0):
            return {}
        medians = [statistics.median(recent) for recent in self._recent]
        found = {}
        for rank, mine in enumerate(medians):
            usual = statistics.median(medians[:rank] + medians[rank + 1 :])
            if mine <= self._factor * usual:
                self._slow.discard(rank)
            elif rank not in self._slow:
                self._slow.add(rank)
                found[rank] = mine / usual if usual else float("inf")
        return found
