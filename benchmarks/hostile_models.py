"""Model files that want to do harm, opened by everything of ours that opens models: what happened, counted.

    python benchmarks/hostile_models.py [--only WORDS …] [--out benchmarks/hostile_models.json]

Every kind of file has a harmless twin that has to open. A payload is a file that it would make, nothing else. Each opening happens
in a process of its own with bounded memory and time, under a hook on what Python executes, writes, starts and connects to.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from hostile.bases import CASES
from hostile.run_cases import LIMITS, Opening, openings

from pellucid.core.environment import code_version, environment


def counted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of all rows."""
    hostile = [row for row in rows if row["hostile"] and row["ended"] != "not here"]
    twins = [row for row in rows if not row["hostile"]]
    return {
        "kinds": len({row["case"] for row in hostile}),
        "openings": len(hostile),
        "openings_by_opener": dict(sorted(Counter(row["opener"] for row in hostile).items())),
        "ended": dict(Counter(row["ended"] for row in hostile)),
        "executions": sum(row["canary"] or any(not event.startswith("open: ") for event in row["events"]) for row in hostile),
        "writes_outside": sum(
            bool(row["changed"]) or any(event.startswith("open: ") for event in row["events"]) for row in hostile
        ),
        "longest_s": max((row["seconds"] for row in hostile), default=0.0),
        "most_bytes": max((row["grown_bytes"] for row in hostile), default=0),
        "harmless_twins": len(twins),
        "harmless_twins_opened": sum(row["ended"] == "opened" for row in twins),
        "not_here": sorted({row["opener"] for row in rows if row["ended"] == "not here"}),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=[], help="cases whose names hold one of these words")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    began, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as scratch, Opening(Path(scratch) / "bases") as opening:
        for number, case in enumerate(CASES.values()):
            if arguments.only and not any(word in case.name for word in arguments.only):
                continue
            found = list(openings(opening, case, Path(scratch) / f"case-{number}"))
            rows += found
            faults = [(row, fault) for row in found for fault in row["faults"]]
            print(f"{'FAULT' if faults else 'ok   '} {case.name} ({len(found)} openings)", file=sys.stderr, flush=True)
            for row, fault in faults:
                what = "hostile" if row["hostile"] else "twin"
                print(f"      {row['opener']}, {what}: {fault}", file=sys.stderr, flush=True)
    result = {
        "code": code_version(),
        "machine": environment(),
        "limits": LIMITS,
        "seconds": round(time.monotonic() - began, 1),
        **counted(rows),
        "faults": [{name: row[name] for name in ("case", "opener", "hostile", "faults")} for row in rows if row["faults"]],
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)
    sys.exit(1 if result["faults"] else 0)


if __name__ == "__main__":
    main()
