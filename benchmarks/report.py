"""How long the report of a finished run takes, what its files weigh, and whether a second one from a copied folder is the same.

    python benchmarks/report.py /path/to/runs/pocket recipes/pocket.yaml [OUT.json]

The run is copied twice and never written to. Each copy gets its report by `pellucid report` in a process of its own: the first in
UTC, the second under another time zone and another order of hashes. The seconds are those that the stage itself took, by the
manifest, and the processor seconds of the whole process; best, middle and worst of the rounds, whatever else the machine did.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from pellucid.core.environment import code_version, environment

ROUNDS = 3
PLACES = ({"TZ": "UTC", "PYTHONHASHSEED": "1", "LC_ALL": "C"}, {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8"})


def make(runs: Path, recipe: Path, place: dict[str, str]) -> dict[str, float]:
    """Make the report anew and return the stage's seconds and the process's processor seconds."""
    run = next(path for path in runs.iterdir() if path.is_dir())
    shutil.rmtree(run / "report", ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pellucid", "report", str(recipe), "--runs", str(runs)]
    subprocess.run(command, env={**os.environ, **place}, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"stage_s": json.loads((run / "report" / "manifest.json").read_text())["seconds"], "process_cpu_s": round(cpu, 2)}


def digests(runs: Path) -> dict[str, str]:
    """Return the digest of every file of the report but its manifest, which has the time in it."""
    folder = next(path for path in runs.iterdir() if path.is_dir()) / "report"
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def spread(values: list[float]) -> dict[str, float]:
    return {"best": min(values), "median": statistics.median(values), "worst": max(values)}


def measure(run: Path, recipe: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / name for name in ("first", "second")]
        for copy in copies:
            shutil.copytree(run, copy / run.name, ignore=shutil.ignore_patterns(".lock"))
        rounds = [make(copy, recipe, place) for _ in range(ROUNDS) for copy, place in zip(copies, PLACES, strict=True)]
        first, second = map(digests, copies)
        report = copies[0] / run.name / "report"
        numbers = json.loads((report / "numbers.json").read_text())["numbers"]
        found = json.loads((report / "verification.json").read_text())
        sizes = {name: (report / name).stat().st_size for name in ("index.html", "report.pdf", "numbers.json", "data.html")}
    return {
        "run": run.name,
        "rounds": len(rounds),
        **{key: spread([one[key] for one in rounds]) for key in ("stage_s", "process_cpu_s")},
        "files": len(first),
        "files_that_differ": sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)),
        "numbers": len(numbers),
        "bytes": sizes,
        "bytes_verified_on_the_way": found["bytes"],
    }


def main() -> None:
    run, recipe = Path(sys.argv[1]), Path(sys.argv[2])
    out = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(__file__).with_suffix(".json")
    measured = measure(run, recipe)
    out.write_text(json.dumps({"code": code_version(), "environment": environment(), "report": measured}, indent=2) + "\n")
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
