"""Joules that the machine itself has counted: by its processors (RAPL), by NVIDIA's GPUs (NVML), by Apple's powermetrics.

Each counter counts a whole package or board, whoever uses it. What the machine does not tell is named with the reason, and never
guessed. RAPL: Linux's power capping framework (Documentation/power/powercap). NVML: nvmlDeviceGetTotalEnergyConsumption.
powermetrics: its manual page; what it prints are Apple's own estimates.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from pellucid.core.nvml import open_gpus

__all__ = ["EnergyCounter", "EnergyMeter", "PowermetricsCounter", "RaplCounter", "Spent", "find_rapl"]

_SYS = Path("/sys")
# The smallest range that is known, 2^18 J, lasts nine minutes at 500 W: a counter that is looked at so often never wraps unseen.
_LOOK_EVERY_S = 30.0
# Every 200 ms, each line as soon as it is there (into a pipe it would come in blocks, seconds late), and no averages between.
_POWERMETRICS = ("powermetrics", "--samplers", "cpu_power,gpu_power", "-i", "200", "-b", "1", "-a", "0")
_POWER = "Combined Power"
_SILENT_S = 5.0


class EnergyCounter(Protocol):
    """Something that counts joules."""

    @property
    def name(self) -> str:
        """What it counts: "cpu package-0", "gpu 0"."""

    @property
    def shortest_s(self) -> float:
        """The shortest piece of work that it measures: ten of its steps, so that the one cut off at either end is a tenth."""

    def joules(self) -> float:
        """Return the joules since it was opened. Raises `OSError` when it cannot be read any more."""

    def close(self) -> None:
        """Stop counting."""


class RaplCounter:
    """One zone of Linux's power capping framework: microjoules that begin again at zero after `max_energy_range_uj`.

    They move a thousand times a second. Raises `OSError` when its files cannot be read, `ValueError` when they hold no numbers.
    """

    shortest_s = 0.5

    def __init__(self, zone: Path, name: str) -> None:
        self.name = name
        self._file = zone / "energy_uj"
        self._range_uj = int((zone / "max_energy_range_uj").read_text())
        self._last_uj = int(self._file.read_text())
        self._sum_uj = 0

    def joules(self) -> float:
        """Return the joules since it was opened, if it has been asked at least once in each turn of the counter."""
        now_uj = int(self._file.read_text())
        step_uj = now_uj - self._last_uj
        self._sum_uj += step_uj if step_uj >= 0 else step_uj + self._range_uj
        self._last_uj = now_uj
        return self._sum_uj / 1e6

    def close(self) -> None:
        """Nothing is held open."""


def find_rapl(sys: Path = _SYS) -> tuple[list[RaplCounter], str | None]:
    """Return a counter for each processor package and for memory that is counted beside it, or why there is none.

    A package holds its cores; "psys", the whole platform, holds the packages, and is taken where there are no packages. The zones
    of intel-rapl-mmio are the packages once more.
    """
    zones = sorted((sys / "class" / "powercap").glob("intel-rapl:*"))
    if not zones:
        return [], f"the system has no RAPL counters ({sys}/class/powercap is empty or missing, as in most virtual machines)"
    try:
        names = {zone: (zone / "name").read_text().strip() for zone in zones}
        packages = [zone for zone, name in names.items() if name.startswith("package")]
        platform = [zone for zone, name in names.items() if name == "psys"]
        memory = [zone for zone, name in names.items() if name == "dram"]
        of_package = {zone.name: names[zone] for zone in packages}
        counters = []
        for zone in [*packages, *memory] if packages else platform:
            above = of_package.get(zone.name.rpartition(":")[0])
            counters.append(RaplCounter(zone, f"cpu {above} {names[zone]}" if above else f"cpu {names[zone]}"))
    except PermissionError as error:
        return [], f"{error.filename} can be read by root only"
    except (OSError, ValueError) as error:
        return [], f"the RAPL counters cannot be read: {error}"
    return counters, None if counters else "RAPL has no zone for a package or the platform"


class PowermetricsCounter:
    """macOS's powermetrics, run in the background: the mean power that it prints, times the time that it was sampled for.

    Counts up to the last sample that was printed. Raises `OSError` when the program does not start.
    """

    name = "Apple chip"
    shortest_s = 2.0

    def __init__(self, command: Sequence[str] = _POWERMETRICS, *, silent_s: float = _SILENT_S) -> None:
        self._program, self._silent_s = command[0], silent_s
        self._joules, self._elapsed_s, self._told_at = 0.0, 0.0, time.monotonic()
        self._remarks = TemporaryFile()  # noqa: SIM115 - closed with the counter
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._remarks, text=True, errors="replace")
        self._thread = threading.Thread(target=self._read, name="powermetrics", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                if line.startswith("***") and "ms elapsed" in line:
                    self._elapsed_s = float(line.rpartition("(")[2].partition("ms")[0]) / 1e3
                elif line.startswith(_POWER) and line.rstrip().endswith("mW"):
                    self._joules += float(line.rpartition(":")[2].rstrip().removesuffix("mW")) / 1e3 * self._elapsed_s
                    self._told_at = time.monotonic()
            except ValueError:
                continue  # no number: it counts as not told

    def joules(self) -> float:
        """Return the joules of the samples so far. Raises `OSError` when the program has ended, or tells no power."""
        status = self._process.poll()
        if status is not None:
            self._remarks.seek(0)
            said = self._remarks.read().decode(errors="replace").strip().splitlines()
            raise OSError(f"{self._program} ended with status {status}" + (f": {said[-1][:200]}" if said else ""))
        if time.monotonic() - self._told_at > self._silent_s:
            raise OSError(f"{self._program} has printed no line {_POWER!r} in mW for {self._silent_s:g} s")
        return self._joules

    def close(self) -> None:
        """End the program, and read what it has printed."""
        self._process.terminate()
        self._thread.join()
        self._process.wait()
        self._remarks.close()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Spent(NamedTuple):
    """The joules of a piece of work by all counters together; None where they do not tell, for the reason `missing`."""

    joules: float | None
    missing: str | None = None


class EnergyMeter:
    """Every counter that this machine has, to be read before and after a piece of work. To be used as a context.

    `missing` says for each kind that is not there why. Counters are looked at now and then by a thread, so that none wraps unseen.
    `counters` are their names; none where the machine tells nothing. One that stops answering stays among them, and is missing.
    `gpus`: how many of the GPUs that CUDA shows are at work, the first ones; None: all.
    """

    def __init__(self, sys_folder: Path = _SYS, *, gpus: int | None = None) -> None:
        self.missing: dict[str, str] = {}
        self._counters: list[EnergyCounter] = []
        rapl, reason = find_rapl(sys_folder)
        if sys.platform != "darwin":
            self._take("RAPL", rapl, reason)
        else:
            self._take("powermetrics", *_powermetrics())
        self._take("NVML", *open_gpus(most=gpus))
        self.counters = tuple(counter.name for counter in self._counters)
        self._opened = tuple(self._counters)
        self._shortest_s = {counter.name: counter.shortest_s for counter in self._counters}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._look, name="energy", daemon=True)
        if self._counters:
            self._thread.start()

    def _take(self, kind: str, counters: Sequence[EnergyCounter], reason: str | None) -> None:
        self._counters += counters
        if reason is not None:
            self.missing[kind] = reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        for counter in self._opened:
            counter.close()

    def read(self) -> Mapping[str, float]:
        """Return the joules of each counter since the meter was opened. From any thread.

        A counter that cannot be read any more is left out, and named in `missing`.
        """
        found = {}
        with self._lock:
            for counter in list(self._counters):
                try:
                    found[counter.name] = counter.joules()
                except (OSError, ValueError) as error:
                    self._counters.remove(counter)
                    self.missing[counter.name] = f"stopped answering: {error}"
        return found

    def spent(self, before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> Spent:
        """Return what was spent in a piece of work of so many seconds, between two readings.

        All counters, or nothing: the sum of fewer would be another figure under the same name.
        """
        if not self.counters:
            return Spent(None, "no energy counter of this machine can be read")
        gone = [name for name in self.counters if name not in before or name not in after]
        if gone:
            return Spent(None, f"{', '.join(gone)} stopped answering")
        slowest = max(self.counters, key=lambda name: self._shortest_s[name])
        if seconds < self._shortest_s[slowest]:
            return Spent(None, f"turns shorter than {self._shortest_s[slowest]:g} s ({slowest})")
        still = [name for name in self.counters if after[name] <= before[name]]
        if still:
            return Spent(None, f"{', '.join(still)} did not move")
        return Spent(sum(after[name] - before[name] for name in self.counters))

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            self.read()


def _powermetrics() -> tuple[list[PowermetricsCounter], str | None]:
    if os.geteuid() != 0:
        return [], "powermetrics answers to root only: use sudo"
    try:
        return [PowermetricsCounter()], None
    except OSError as error:
        return [], f"powermetrics does not start: {error}"
