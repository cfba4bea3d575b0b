"""Proof: any one change of a released run is found by `pellucid verify`, and the file that was changed is named.

A run is released with `pellucid release`, and the released folder is changed in one place at a time: a byte written over, a byte
taken out, a byte put in, a file emptied, a file deleted, a file added. Half of the places are drawn by bytes, so that a file is hit
as often as it is large, half by files, so that small ones are hit as well. After each change all that `pellucid verify` does is
done (`verify_run`), and a fault has to name the changed file by its path. Then the bytes are put back; now and then, and at the
end, the folder is verified whole, and must pass.

With --known-digests, digests of files that this script has not changed are taken from the verification before; that they are the
same is checked in every tenth trial, by verifying without them: both must say the same, fault by fault. Without it, every trial
reads every byte. Exit status 1 when a change is not found, or the whole folder does not pass.

    python benchmarks/verify_bytes.py runs/pocket --trials 500
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.progress import progress
from pellucid.stages.verify import verify_run
from pellucid.verify.tree import Tree

KINDS = {"a byte written over": 400, "a byte taken out": 25, "a byte put in": 25, "emptied": 15, "deleted": 20, "added": 15}
WHOLE_EVERY = 10


@dataclass
class Change:
    """One change: which file it hit and how, and how to put it back."""

    kind: str
    file: Path
    undo: Callable[[], object]


def release(run: Path, folder: Path) -> None:
    """Write the run's release, with every checkpoint and every export."""
    command = [sys.executable, "-m", "pellucid", "release", str(run), str(folder), "--checkpoints", "all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the run could not be released:\n{done.stderr[-2000:]}")


def changed(folder: Path, sizes: dict[str, int], kind: str, by_bytes: bool, draw: random.Random) -> Change:
    """Make one change of this kind somewhere in the folder."""
    if kind == "added":
        file = folder / draw.choice(["added.txt", "plan/added.json", "pretrain/checkpoints/added", "code/added.py", "new/added"])
        is_new = not file.parent.exists()
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(draw.randbytes(draw.randrange(40)))
        return Change(kind, file, lambda: (file.unlink(), file.parent.rmdir() if is_new else None))
    names = [name for name, size in sizes.items() if size]
    name = draw.choices(names, [sizes[one] for one in names])[0] if by_bytes else draw.choice(names)
    file = folder / name
    whole = file.read_bytes()
    if kind == "deleted":
        file.unlink()
    else:
        file.write_bytes(_altered(whole, kind, draw))
    return Change(kind, file, lambda: file.write_bytes(whole))


def _altered(whole: bytes, kind: str, draw: random.Random) -> bytes:
    at = draw.randrange(len(whole))
    if kind == "emptied":
        return b""
    if kind == "a byte taken out":
        return whole[:at] + whole[at + 1 :]
    if kind == "a byte put in":
        return whole[:at] + bytes([draw.randrange(256)]) + whole[at:]
    return whole[:at] + bytes([whole[at] ^ draw.randrange(1, 256)]) + whole[at + 1 :]


def verified(folder: Path, known: dict[str, str]) -> tuple[list[str], float]:
    """Return the faults of a full verification and its seconds; files in `known` are not read again for their digests."""
    digest = Tree._digest

    def remembered(tree: Tree, name: str) -> str:
        return known[name] if name in known else digest(tree, name)

    started = time.monotonic()
    Tree._digest = remembered  # type: ignore[method-assign]
    try:
        return verify_run(folder).faults, time.monotonic() - started
    finally:
        Tree._digest = digest  # type: ignore[method-assign]


def main() -> int:
    """Change, verify and put back, so many times; write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run; it is only read")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--known-digests", action="store_true", help="do not read again what was not changed")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pellucid-verify-bytes-") as scratch:
        folder = Path(scratch, "release")
        release(options.run, folder)
        result = tried(folder, options)
    write_json(options.out, result)
    print(f"{result['found']} of {result['trials']} found and named, {len(result['false_alarms'])} false alarms")
    return 0 if result["found"] == result["trials"] and not result["false_alarms"] else 1


def tried(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the account of all trials."""
    draw, version = random.Random(options.seed), code_version()
    sizes = dict(Tree(folder).files)
    digests = {name: Tree(folder).digest(name) for name in sizes} if options.known_digests else {}
    kinds = draw.choices(list(KINDS), list(KINDS.values()), k=options.trials)
    made, found, hit = Counter[str](), Counter[str](), Counter[str]()
    missed, alarms, seconds = list[str](), list[str](), list[float]()
    first, whole_s = verified(folder, {})
    alarms += first
    with progress("changes", options.trials, "changes") as bar:
        for number, kind in enumerate(kinds):
            by_bytes = number % 2 == 0
            change = changed(folder, sizes, kind, by_bytes, draw)
            name = change.file.relative_to(folder).as_posix()
            faults, took = verified(folder, {one: known for one, known in digests.items() if one != name})
            if digests and number % WHOLE_EVERY == 0 and verified(folder, {})[0] != faults:
                missed.append(f"{kind}: {name}: with known digests other faults were told than without")
            change.undo()
            seconds.append(took)
            made[kind] += 1
            hit["by bytes" if by_bytes else "by files"] += 1
            if any(str(change.file) in fault for fault in faults):
                found[kind] += 1
            else:
                missed.append(f"{kind}: {name}: {faults[:3]}")
            if not digests and number % (5 * WHOLE_EVERY) == 0:
                alarms += verified(folder, {})[0]
            bar.note(f"{found.total()} of {number + 1} found")
            bar.advance()
    alarms += verified(folder, {})[0]
    seconds.sort()
    return {
        "what": "one change at a time in a released run, each followed by all that `pellucid verify` does",
        "run": options.run.name,
        "files": len(sizes),
        "bytes": sum(sizes.values()),
        "seed": options.seed,
        "known_digests": options.known_digests,
        "trials": options.trials,
        "found": options.trials - len(missed),
        "by_kind": {kind: {"made": made[kind], "found": found[kind]} for kind in KINDS},
        "drawn": dict(hit),
        "missed": missed,
        "false_alarms": alarms,
        "whole_s": round(whole_s, 3),
        "seconds": {"median": round(seconds[len(seconds) // 2], 3), "max": round(seconds[-1], 3)},
        "code_version": version,
        "environment": environment(),
    }


if __name__ == "__main__":
    sys.exit(main())
