"""The energy of a piece of work: counted where the machine counts, estimated from what the device draws where it does not."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.core.cpu_time import cpu_seconds
from pellucid.core.energy import EnergyMeter

__all__ = ["JouleMeter", "Power"]

_SYS = Path("/sys")


@dataclass(frozen=True)
class Power:
    """What a device draws at full use: `watts` each, `count` of them on all `nodes` together.

    `cores`: of a processor, how many its watts are of; None: a GPU.
    """

    watts: float
    count: int = 1
    cores: int | None = None
    nodes: int = 1

    @property
    def here(self) -> int:
        """How many of the devices are in this machine."""
        return max(1, self.count // self.nodes)

    def joules(self, seconds: float, cpu_s: float) -> float:
        """Return watts · devices · time · use.

        A processor's use is its CPU seconds over time · cores, so time cancels out; `cpu_s` are those of one node, and the others
        are taken to be like it. A GPU's use is taken to be 1: an upper bound.
        """
        if self.cores is None:
            return self.watts * self.count * seconds
        return self.watts * self.nodes * cpu_s / self.cores


class JouleMeter:
    """What a piece of work has taken since the meter was opened: `so_far()` is a ledger line's `energy`. To be used as a context.

    `root`: the process that counts with all its descendants; this one by default. Counters count whole packages and boards of this
    machine, whoever uses them; what other nodes take is estimated to be as much.
    """

    def __init__(self, power: Power, root: int | None = None, sys_folder: Path = _SYS) -> None:
        self._power, self._root = power, root
        self._meter = EnergyMeter(sys_folder, gpus=power.here if power.cores is None else None)
        self._before = self._meter.read()
        self._cpu_s = cpu_seconds(root)
        self._started = time.monotonic()

    def __enter__(self) -> "JouleMeter":
        return self

    def __exit__(self, *_: object) -> None:
        self._meter.__exit__(None, None, None)

    def seconds(self) -> float:
        """Return the wall time so far."""
        return time.monotonic() - self._started

    def so_far(self) -> dict[str, Any]:
        """Return `joules`, `kind` ("measured" or "estimated"), `counters`, `missing` (with reasons) and `cpu_s`. From any thread.

        "measured" is said only where counters have counted what the recipe's device stands for, and all of it: a processor's
        packages where that is a processor, as many boards as there are devices here where it is a GPU. Elsewhere what they did
        count is kept, and the estimate of the devices that they did not is added.
        """
        seconds = self.seconds()
        cpu_s = max(0.0, cpu_seconds(self._root) - self._cpu_s)
        spent = self._meter.spent(self._before, self._meter.read(), seconds)
        missing = dict(self._meter.missing)
        if self._meter.counters and spent.missing is not None:
            missing["counters"] = spent.missing
        counted = None if spent.joules is None else spent.joules * self._power.nodes
        share = 0.0 if counted is None else self._share()
        if 0 < share < 1:
            missing["boards"] = f"{share * self._power.here:.0f} of {self._power.here} GPUs are counted"
        joules = (counted or 0.0) + (1 - share) * self._power.joules(seconds, cpu_s)
        return {
            "joules": round(joules, 3),
            "kind": "measured" if share == 1 and self._power.nodes == 1 else "estimated",
            "counters": [] if counted is None else list(self._meter.counters),
            "missing": missing,
            "cpu_s": round(cpu_s, 3),
        }

    def _share(self) -> float:
        """Return which share of this machine's devices the counters count."""
        if self._power.cores is None:
            return min(1.0, sum(name.startswith("gpu") for name in self._meter.counters) / self._power.here)
        return float(any(name.startswith(("cpu", "Apple")) for name in self._meter.counters))
