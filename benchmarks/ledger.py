"""What the ledger costs: a line, an attempt around nothing, a beat, and reading a long ledger.

    python benchmarks/ledger.py --lines 2000 --long 200000 --work DIR

Times are medians. `append_us` holds the flush to the disk, which is most of it and depends on the disk; `append_cpu_us` is the
processor's part. A beat reads the energy counters and the processor time of all descendants, and appends a line.
"""

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pellucid.core.attempts import read_attempts
from pellucid.core.cpu_time import cpu_seconds
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.joules import JouleMeter, Power
from pellucid.core.ledger import Ledger, read_ledger
from pellucid.recipe.after import PlanConfig
from pellucid.stages.attempt import attempt

OUT = Path(__file__).with_suffix(".json")


def timed(work: Any, times: int) -> tuple[float, float]:
    """Return the median wall time and the mean CPU time of a call, in microseconds."""
    walls, cpu = [], time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        work()
        walls.append(time.perf_counter() - began)
    return 1e6 * statistics.median(walls), 1e6 * (time.process_time() - cpu) / times


def measured(lines: int, long: int, root: Path) -> dict[str, Any]:
    """Return the figures, of a ledger of `lines` lines and of one of `long`."""
    energy = {"joules": 1234.5, "kind": "estimated", "counters": [], "missing": {"RAPL": "none"}, "cpu_s": 61.7}
    alive = {"stage": "pretrain", "attempt": 1, "seconds": 60.0, "energy": energy}
    ledger = Ledger(root / "run")
    append_us, append_cpu_us = timed(lambda: ledger.append("alive", **alive), lines)
    line = ledger.path.read_bytes().splitlines(keepends=True)[0]
    grown = Ledger(root / "long")
    grown.path.parent.mkdir()
    # As long as a run of months makes it; only the last line's chain matters to who appends.
    grown.path.write_bytes(line * long)
    long_us, long_cpu_us = timed(lambda: grown.append("alive", **alive), lines // 4)
    with JouleMeter(Power(20, 1, 2)) as meter:
        beat_us, beat_cpu_us = timed(lambda: ledger.append("alive", stage="pretrain", attempt=1, energy=meter.so_far()), 200)
        tree_us, _ = timed(cpu_seconds, 200)

    def nothing() -> None:
        with attempt(root / "attempts", "nothing", plan=PlanConfig()):
            pass

    (root / "attempts").mkdir()
    nothing()
    attempt_us, attempt_cpu_us = timed(nothing, 50)
    began = time.perf_counter()
    count = sum(1 for _ in read_ledger(ledger.path))
    read_us = 1e6 * (time.perf_counter() - began) / count
    began = time.perf_counter()
    read_attempts(root / "run")
    attempts_us = 1e6 * (time.perf_counter() - began) / count
    return {
        "line_bytes": len(line),
        "append_us": append_us,
        "append_cpu_us": append_cpu_us,
        "long_ledger_bytes": len(line) * long,
        "append_to_long_us": long_us,
        "append_to_long_cpu_us": long_cpu_us,
        "beat_us": beat_us,
        "beat_cpu_us": beat_cpu_us,
        "beat_share_of_a_core": beat_cpu_us / 60e6,
        "processes_read_us": tree_us,
        "attempt_us": attempt_us,
        "attempt_cpu_us": attempt_cpu_us,
        "read_and_check_us_per_line": read_us,
        "attempts_us_per_line": attempts_us,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--long", type=int, default=200_000)
    parser.add_argument("--work", type=Path, help="folder on the disk to measure (default: the system's temporary one)")
    arguments = parser.parse_args()
    with TemporaryDirectory(dir=arguments.work) as folder:
        found = measured(arguments.lines, arguments.long, Path(folder))
    for name, value in found.items():
        print(f"{name:<30}{value:>16.6g}")
    write_json(OUT, {**found, "lines": arguments.lines, "environment": environment(), "code_version": code_version()})


if __name__ == "__main__":
    main()
