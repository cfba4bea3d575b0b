"""Proof: damage to checkpoints and token shards is found, and training goes on from the newest checkpoint that is good.

Three things are damaged at random: the checkpoints of one process, those of two ranks (whose sections are folders of shards), and
the token shards of a run with their indexes. Any file of them may be hit: tensors, `state.json`, `manifest.json`, token files,
document starts, document index. How it is hit: a bit flipped, a byte written over, a block zeroed, cut short by a byte or by more,
emptied, deleted, bytes added, a file of the same name from elsewhere put in its place, a file added. Of the checkpoints it is the
newest, the newest two, an older one, or all of them.

Damaged checkpoints are found when `latest_good` returns the newest good one and names each damaged one that is newer, and
`load_checkpoint` refuses every damaged one. Damaged token shards are found when the stage that makes them does not take them for
current, so that `pellucid run` makes them again, and `pellucid verify` names them. After each trial the bytes are put back, and
what is whole must pass: false alarms are counted. Every so often the run is really continued from what is left, and must resume
from the newest good checkpoint. Exit status 1 when any of it does not hold.

    python benchmarks/corruptions.py --trials 500
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from pellucid.checkpoint.files import load_checkpoint
from pellucid.checkpoint.retention import latest_good, list_checkpoints
from pellucid.core.artifacts import is_current
from pellucid.core.environment import code_version, environment
from pellucid.core.errors import ArtifactError
from pellucid.core.files import write_json
from pellucid.core.metrics import read_metrics
from pellucid.recipe.load import load_recipe
from pellucid.stages.shards import SHARDS
from pellucid.stages.stage import Context
from pellucid.stages.verify import verify_run

RECIPE = Path(__file__).parents[1] / "recipes" / "pocket-smoke.yaml"
SETTINGS = ["train.0.checkpoint.every_steps=3", "train.0.checkpoint.keep_last=3", "train.0.samples.every_steps=0"]
STOP_AFTER_STEPS = 10
KINDS = {
    "one bit flipped": 6,
    "a byte written over": 3,
    "512 bytes zeroed": 2,
    "cut short by one byte": 2,
    "cut short": 4,
    "emptied": 1,
    "deleted": 4,
    "bytes added": 1,
    "put in from elsewhere": 1,
    "a file added": 1,
}
MANIFEST_FRAC = 0.15
WHICH = {"the newest": 60, "the newest two": 20, "an older one": 15, "all": 5}


def call(arguments: list[str], ranks: int = 1) -> "subprocess.Popen[bytes]":
    start = [] if ranks == 1 else ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m"]
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return subprocess.Popen(
        [sys.executable, "-m", *start, "pellucid", arguments[0], str(RECIPE), *arguments[1:], *settings],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def half_trained(runs: Path, ranks: int) -> Path:
    """Return a run whose training was stopped: three checkpoints, and something left to do."""
    run = runs / "pocket-smoke"
    metrics = run / "pretrain" / "metrics.jsonl"
    training = call(["train", "--runs", str(runs)], ranks)
    while training.poll() is None and sum("loss" in line for line in read_metrics(metrics)) < STOP_AFTER_STEPS:
        time.sleep(0.02)
    training.send_signal(signal.SIGTERM)
    training.wait()
    assert len(list_checkpoints(run / "pretrain" / "checkpoints")) == 3
    return run


class Damage:
    """Changes to files that can be taken back."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._before: dict[Path, bytes | None] = {}

    def harm(self, folder: Path, choose: random.Random) -> None:
        """Do something at random to one file under `folder`."""
        while True:
            # Manifests are few among the files of a run; without them nothing would be found, so they get a fair share.
            manifest = choose.random() < MANIFEST_FRAC
            file = choose.choice(sorted(path for path in folder.rglob("manifest.json" if manifest else "*") if path.is_file()))
            kind = choose.choices(list(KINDS), list(KINDS.values()))[0]
            target = file.with_name("added.bin") if kind == "a file added" else file
            data = None if target != file else file.read_bytes()
            harmed = harmed_bytes(kind, file, choose)
            if harmed != data:
                break
        self._before[target] = data
        if harmed is None:
            target.unlink()
        else:
            target.write_bytes(harmed)
        self.done.append(f"{kind}: {target.relative_to(folder.parent)}")

    def undo(self) -> None:
        for file, data in self._before.items():
            if data is None:
                file.unlink()
            else:
                file.write_bytes(data)


def harmed_bytes(kind: str, file: Path, choose: random.Random) -> bytes | None:
    """Return what a file holds after it was damaged; None when it is gone."""
    data = bytearray(file.read_bytes())
    place = choose.randrange(max(1, len(data)))
    if kind == "one bit flipped" and data:
        data[place] ^= 1 << choose.randrange(8)
    elif kind == "a byte written over" and data:
        data[place] = choose.randrange(256)
    elif kind == "512 bytes zeroed":
        data[place : place + 512] = bytes(len(data[place : place + 512]))
    elif kind == "cut short by one byte":
        del data[-1:]
    elif kind == "cut short":
        del data[place:]
    elif kind == "bytes added":
        data += choose.randbytes(choose.randint(1, 64))
    elif kind == "put in from elsewhere":
        others = sorted(other for other in file.parents[1].rglob(file.name) if other != file)
        return choose.choice(others).read_bytes() if others else bytes(data)
    elif kind == "a file added":
        return choose.randbytes(32)
    elif kind == "deleted":
        return None
    elif kind == "emptied":
        return b""
    return bytes(data)


def by(message: str) -> str:
    """Return the kind of a fault: its message without names and numbers."""
    for kind in (
        "was altered: its sha256 is not the one in the manifest",
        "was altered: its sha256 is not the one that it holds",
        "is missing",
        "is not JSON",
        "is not a Pellucid manifest",
        "is not in the manifest",
        "artifact, expected",
        "has checkpoint format",
    ):
        if kind in message:
            return kind
    return "has another size than its manifest says" if re.search(r"has \d+ bytes", message) else message


class Trial:
    """What came of one damage: what was found by whom, and what was not."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.faults: list[str] = []


def check_checkpoints(root: Path, damaged: list[Path], trial: Trial) -> None:
    """Note whether the newest good checkpoint is taken and each damaged one refused."""
    newest = next((path for path in reversed(list_checkpoints(root)) if path not in damaged), None)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        taken = latest_good(root)
    said = [str(warning.message) for warning in heard]
    trial.found |= {by(message) for message in said}
    if taken != newest:
        trial.faults.append(f"{taken and taken.name} is taken, not {newest and newest.name}")
    newer = [path for path in damaged if path.is_dir() and (newest is None or path > newest)]
    trial.faults += [f"nothing was said of {path.name}" for path in newer if not any(str(path) in message for message in said)]
    for path in list_checkpoints(root):
        try:
            load_checkpoint(path)
        except ArtifactError as error:
            trial.found.add(by(str(error)))
            if path not in damaged:
                trial.faults.append(f"{path.name} is refused: {error}")
        else:
            if path in damaged:
                trial.faults.append(f"{path.name} loads")


def check_shards(run: Path, damaged: bool, trial: Trial) -> None:
    """Note whether the stage that makes the shards and `pellucid verify` see what is damaged."""
    told = verify_run(run).faults
    trial.found |= {by(fault) for fault in told}
    if bool(told) != damaged:
        trial.faults.append(f"pellucid verify says {told}")
    if is_current(run / "shards", SHARDS.key(Context(load_recipe(RECIPE), run))) == damaged:
        trial.faults.append("the stage takes them for current" if damaged else "the stage does not take them for current")


def continued_from(run: Path, scratch: Path) -> str | None:
    """Continue a copy of a run to its end with the real command; return the checkpoint that it resumed from."""
    shutil.copytree(run, scratch / run.name)
    done = call(["train", "--runs", str(scratch)]).wait()
    lines = list(read_metrics(scratch / run.name / "pretrain" / "metrics.jsonl"))
    steps = [line["step"] for line in lines if "loss" in line]
    shutil.rmtree(scratch)
    assert done == 0 and steps == list(range(1, 31)), f"status {done}, steps {steps}"
    return next((line["checkpoint"] for line in reversed(lines) if line.get("event") == "resume"), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--continue-every", type=int, default=25, help="really continue training in every n-th trial")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    choose = random.Random(options.seed)
    result: dict[str, Any] = {
        "command": f"python benchmarks/corruptions.py --trials {options.trials} --seed {options.seed}",
        "code": code_version(),
        "environment": environment(),
    }
    by_target: Counter[str] = Counter()
    found: dict[str, Counter[str]] = {}
    faults: list[str] = []
    false_alarms: list[str] = []
    each: list[str] = []
    continued = 0
    with tempfile.TemporaryDirectory(prefix="pellucid-corruptions-") as folder:
        scratch = Path(folder)
        base = scratch / "base"
        for stage in ("documents", "tokenizer", "shards"):
            assert call([stage, "--runs", str(base)]).wait() == 0
        runs = {}
        for name, ranks in {"checkpoints of one process": 1, "checkpoints of two ranks": 2}.items():
            shutil.copytree(base, scratch / str(ranks))
            runs[name] = half_trained(scratch / str(ranks), ranks)
        runs["token shards"] = runs["checkpoints of one process"]
        for number in range(1, options.trials + 1):
            name = choose.choice(sorted(runs))
            run, damage, trial, calm = runs[name], Damage(), Trial(), Trial()
            if name == "token shards":
                damage.harm(run / "shards", choose)
                check_shards(run, True, trial)
                damage.undo()
                check_shards(run, False, calm)
            else:
                root = run / "pretrain" / "checkpoints"
                paths = list_checkpoints(root)
                which = choose.choices(list(WHICH), list(WHICH.values()))[0]
                damaged = {
                    "the newest": paths[-1:],
                    "the newest two": paths[-2:],
                    "an older one": [choose.choice(paths[:-1])],
                    "all": paths,
                }[which]
                for path in damaged:
                    damage.harm(path, choose)
                check_checkpoints(root, damaged, trial)
                if number % options.continue_every == 0:
                    newest = next((path.name for path in reversed(paths) if path not in damaged), None)
                    taken = continued_from(run, scratch / "continued")
                    continued += 1
                    if taken != newest:
                        trial.faults.append(f"training went on from {taken}, not from {newest}")
                damage.undo()
                check_checkpoints(root, [], calm)
            by_target[name] += 1
            if len(damage.done) == 1:  # of several, nobody can say which was found by what
                found.setdefault(damage.done[0].partition(":")[0], Counter()).update(trial.found or ["not found"])
            each.append(f"{name}: {', '.join(damage.done)} → {'; '.join(sorted(trial.found)) or 'not found'}")
            faults += [f"{name}: {', '.join(damage.done)}: {fault}" for fault in trial.faults]
            false_alarms += [f"after trial {number}: {fault}" for fault in calm.faults]
            if number % 20 == 0 or number == options.trials:
                result |= {
                    "trials": number,
                    "trials_by_target": dict(by_target),
                    "found": number - len({fault.rpartition(":")[0] for fault in faults}),
                    "found_by_single_damage": {kind: dict(counts) for kind, counts in found.items()},
                    "false_alarms": false_alarms,
                    "false_alarm_trials": number,
                    "continued_for_real": continued,
                    "holds": not faults and not false_alarms,
                    "faults": faults,
                    "each": each,
                }
                write_json(options.out, result)
                print(f"{number} trials, {len(faults)} faults, {len(false_alarms)} false alarms", flush=True)
    return 1 if faults or false_alarms else 0


if __name__ == "__main__":
    sys.exit(main())
