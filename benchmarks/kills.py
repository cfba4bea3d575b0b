"""Proof: `pellucid train` survives kill -9 at any moment, also while a checkpoint is being written.

The stage is small and saves every three steps, so that the writing of a checkpoint, which goes on beside training, takes up much of
the time. Runs are killed again and again at random moments (every tenth before training has begun, four in ten of the others soon
after a checkpoint was begun), and continued until they end, then compared with undisturbed ones:

- one process: forked from this one, which has everything imported, so that a start costs no import; it calls the command line's
  `main`. Killed, it is started anew with the same command.
- two ranks under torchrun: either one rank is killed and torchrun starts both again (--max-restarts), or all processes are killed,
  torchrun too, and the same command is given again.

After each kill: every checkpoint that can be seen is whole; the newest good one loads; lost are the steps since it, an interval at
most, and those that were taken while the next one was being written, two intervals in all. At the end: tensors of model, optimizer
and random state are those of the undisturbed run to the bit, so are the losses, the gradient norms, the samples and the receipt;
every step is logged exactly once; the run verifies; nothing is left over. Exit status 1 when any of it does not hold.

    python benchmarks/kills.py --trials 200 --two-ranks 60
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.checkpoint.files import checkpoint_step, load_checkpoint
from pellucid.checkpoint.retention import latest_good, list_checkpoints
from pellucid.cli import run as imported_for_the_forks  # noqa: F401
from pellucid.cli.main import main as command_line
from pellucid.core.artifacts import find_faults
from pellucid.core.environment import code_version, environment
from pellucid.core.errors import PellucidError
from pellucid.core.files import write_json
from pellucid.core.metrics import read_metrics
from pellucid.stages.verify import verify_run

RECIPE = Path(__file__).parents[1] / "recipes" / "pocket-smoke.yaml"
EVERY_STEPS = 3
SETTINGS = {
    # 1.1 million weights: a checkpoint of 13 MB, written about half of the time.
    "model.hidden": 128,
    "model.layers": 4,
    "model.mlp_hidden": 384,
    "train.0.optimizer.kind": "adamw",
    "train.0.batch_tokens": 256,
    "train.0.micro_seqs": 1,
    "train.0.checkpoint.every_steps": EVERY_STEPS,
    "train.0.samples.every_steps": 20,
}
STEPS = {1: 120, 2: 60}
# How long training goes on, at most, before a kill: some checkpoints' worth.
LONGEST_S = {1: 1.2, 2: 2.5}
# This part of the kills does not wait for training to begin, but comes within so many seconds of the start.
EARLY_FRAC, EARLY_S = 0.1, {1: 1.5, 2: 6.0}
# This part of the kills waits for the next checkpoint to be begun, and comes within so many seconds of that.
AIMED_FRAC, AIMED_S = 0.4, {1: 0.03, 2: 0.15}
# A start or a run that takes longer than this hangs.
PATIENCE_S = 300


def arguments_of(runs: Path, ranks: int, shard: str) -> list[str]:
    own = {"train.0.length_tokens": STEPS[ranks] * SETTINGS["train.0.batch_tokens"], "train.0.parallel.shard": shard}
    settings = [part for name, value in (SETTINGS | own).items() for part in ("--set", f"{name}={value}")]
    return ["train", str(RECIPE), "--runs", str(runs), *settings]


class Alone:
    """One process that trains: a fork of this one."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.status: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(file, 1)
                os.dup2(file, 2)
                status = command_line(arguments)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)

    def running(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is None

    def kill(self, choose: random.Random) -> str | None:
        """Kill it and wait until it is gone; None when it had ended before."""
        os.kill(self._pid, signal.SIGKILL)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return "same command" if self.status == -signal.SIGKILL else None


class Torchrun:
    """Two ranks that train, and torchrun, which starts them again."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1000"]
        with log.open("a") as file:
            self._agent = subprocess.Popen([*call, "-m", "pellucid", *arguments], stdout=file, stderr=file)

    @property
    def status(self) -> int | None:
        return self._agent.poll()

    def running(self) -> bool:
        return self.status is None

    def kill(self, choose: random.Random) -> str | None:
        """Kill one rank or everything, and wait until no rank is left; None when there were no two ranks to kill."""
        ranks = self._ranks()
        if len(ranks) < 2:
            return None
        victim = choose.choice(("rank 0", "rank 1", "everything"))
        victims = [self._agent.pid, *ranks.values()] if victim == "everything" else [ranks[victim.removeprefix("rank ")]]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        while any(Path(f"/proc/{pid}/exe").exists() for pid in ranks.values()):
            time.sleep(0.005)
        if victim == "everything":
            self._agent.wait()
            return "same command"
        return f"torchrun started both again after {victim}"

    def end(self) -> None:
        victims = [*self._ranks().values(), *([self._agent.pid] if self.running() else [])]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

    def _ranks(self) -> dict[str, int]:
        """Process ids by rank."""
        found = {}
        try:
            for pid in Path(f"/proc/{self._agent.pid}/task/{self._agent.pid}/children").read_text().split():
                variables = dict(line.partition("=")[::2] for line in Path(f"/proc/{pid}/environ").read_text().split("\0"))
                if "RANK" in variables:
                    found[variables["RANK"]] = int(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
        return found


class Folder:
    """What lies in one run's training stage."""

    def __init__(self, run: Path) -> None:
        self.run, self.stage = run, run / "pretrain"
        self.checkpoints, self.metrics = self.stage / "checkpoints", self.stage / "metrics.jsonl"

    def opened(self) -> int | None:
        """Changes whenever training opens its log: at the start and at each resumption."""
        return self.metrics.stat().st_ino if self.metrics.is_file() else None

    def hidden(self) -> set[tuple[str, int]]:
        """What is being written or dropped, or was when a process was killed."""
        with os.scandir(self.checkpoints) if self.checkpoints.is_dir() else nullcontext([]) as found:
            return {(entry.name, entry.inode()) for entry in found if entry.name.startswith(".")}

    def logged(self) -> list[dict[str, Any]]:
        return [line for line in read_metrics(self.metrics) if "loss" in line]

    def files(self) -> set[str]:
        return {str(path.relative_to(self.run)) for path in self.stage.rglob("*") if path.is_file()}

    def outcome(self) -> dict[str, Any]:
        """What must not differ between a run that was killed and one that was not."""
        logged = self.logged()
        tensors, _ = load_checkpoint(list_checkpoints(self.checkpoints)[-1])
        sections = {name: digest_of(tensors.pop(name)) for name in ("model", "optimizer", "random")}
        return {
            **sections,
            "progress": tensors,
            "losses": [(line["step"], line["loss"], line["grad_norm"], line["loss_by_source"]) for line in logged],
            "samples": (self.stage / "samples.jsonl").read_bytes(),
            "receipt": (self.stage / "receipt.json").read_bytes(),
        }


def digest_of(section: dict[str, Any]) -> str:
    digest = sha256()

    def add(name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
            return
        for key in sorted(value):
            add(f"{name}/{key}", value[key])

    add("", section)
    return digest.hexdigest()


class Book:
    """All kills so far, and what did not hold."""

    def __init__(self, out: Path, command: str) -> None:
        self.kills: list[dict[str, Any]] = []
        self.runs: list[str] = []
        self.faults: list[str] = []
        self._out, self._command, self._started = out, command, time.monotonic()

    def write(self) -> None:
        kills = self.kills
        training = [kill for kill in kills if kill["moment"] != "starting"]
        write_json(
            self._out,
            {
                "command": self._command,
                "code": code_version(),
                "environment": environment(),
                "seconds": round(time.monotonic() - self._started),
                "settings": SETTINGS | {"steps": {str(ranks): steps for ranks, steps in STEPS.items()}},
                "kills": len(kills),
                "kills_by_ranks": dict(Counter(str(kill["ranks"]) for kill in kills)),
                "kills_by_continuation": dict(Counter(kill["how"] for kill in kills)),
                "kills_by_moment": dict(Counter(kill["moment"] for kill in kills)),
                "runs_compared": len(self.runs),
                "every_steps": EVERY_STEPS,
                "lost_steps": {str(lost): count for lost, count in sorted(Counter(kill["lost"] for kill in training).items())},
                "holds": not self.faults,
                "faults": self.faults,
                "runs": self.runs,
                "each": [
                    f"run {kill['run']}, {kill['ranks']} rank(s), {kill['how']}: {kill['moment']}; "
                    f"{kill['logged']} steps logged, checkpoint of step {kill['good']}"
                    for kill in kills
                ],
            },
        )


def examine(folder: Folder, before: int) -> tuple[int, list[str]]:
    """Return the newest good checkpoint's step (0: none) and what does not hold of what a kill left."""
    faults = []
    for path in list_checkpoints(folder.checkpoints):
        try:
            faults += find_faults(path)
        except PellucidError as error:
            faults.append(f"{path.name}: {error}")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        newest = latest_good(folder.checkpoints)
    faults += [str(warning.message) for warning in heard]
    good = checkpoint_step(newest) or 0 if newest else 0
    if newest:
        try:
            state, meta = load_checkpoint(newest)
            if state["progress"]["step"] != good or meta["step"] != good:
                faults.append(f"{newest.name} holds step {state['progress']['step']}")
        except PellucidError as error:
            faults.append(f"{newest.name} does not load: {error}")
    if good < before:
        faults.append(f"the newest good checkpoint was of step {before}, after the kill it is of step {good}")
    logged = folder.logged()
    if logged and [line["step"] for line in logged] != list(range(1, len(logged) + 1)):
        faults.append(f"logged steps are {[line['step'] for line in logged]}")
    last = len(logged)
    # The step after a checkpoint's begins when the checkpoint before it is durable.
    begun = max(0, last - 1) // EVERY_STEPS * EVERY_STEPS
    if good < begun - EVERY_STEPS:
        faults.append(f"{last} steps were logged, the newest good checkpoint is of step {good}")
    return good, faults


def wait(process: Alone | Torchrun, until: Callable[[], bool] = lambda: False) -> None:
    """Wait until something holds or the process has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while process.running() and not until():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened for {PATIENCE_S} s")
        time.sleep(0.0005)


def disturb(process: Alone | Torchrun, folder: Folder, choose: random.Random, ranks: int) -> tuple[str, str] | None:
    """Kill at a random moment; return how it will go on and what was going on, None when the run ended before."""
    opened, hidden = folder.opened(), folder.hidden()
    early = choose.random() < EARLY_FRAC
    if not early:
        wait(process, lambda: folder.opened() != opened)
    moment = time.monotonic() + choose.uniform(0, EARLY_S[ranks] if early else LONGEST_S[ranks])
    wait(process, lambda: time.monotonic() > moment)
    if not early and choose.random() < AIMED_FRAC:
        before = folder.hidden()
        wait(process, lambda: bool(folder.hidden() - before))
        moment = time.monotonic() + choose.uniform(0, AIMED_S[ranks])
        wait(process, lambda: time.monotonic() > moment)
    if not process.running():
        return None
    # A rank that survives clears away what it was writing, so this is looked at first as well as afterwards.
    new = folder.hidden() - hidden
    how = process.kill(choose)
    new |= folder.hidden() - hidden
    if how is None:
        return None
    doing = {name.rpartition(".")[2] for name, _ in new}
    if folder.opened() == opened:
        return how, "starting"
    return how, "writing a checkpoint" if "part" in doing else "dropping an old checkpoint" if doing else "between checkpoints"


def one_run(
    number: int, ranks: int, shard: str, kills: int, base: Path, undisturbed: Folder, choose: random.Random, book: Book
) -> int:
    """Train one run to its end through at most `kills` kills; return how many there were."""
    runs = base.parent.parent / f"run-{number}"
    shutil.copytree(base, runs / base.name)
    folder, log = Folder(runs / base.name), runs / "log"
    start = Alone if ranks == 1 else Torchrun
    arguments = arguments_of(runs, ranks, shard)
    done, good = 0, 0
    process: Alone | Torchrun = start(arguments, log)
    try:
        while True:
            told = disturb(process, folder, choose, ranks) if done < kills else None
            if told is not None:
                done += 1
                good, faults = examine(folder, good)
                last = len(folder.logged())
                book.kills.append(
                    {
                        "run": number,
                        "ranks": ranks,
                        "how": told[0],
                        "moment": told[1],
                        "logged": last,
                        "good": good,
                        "lost": last - good,
                    }
                )
                book.faults += [f"run {number}, kill {done}: {fault}" for fault in faults]
                book.write()
            elif done >= kills:
                wait(process)
            if not process.running():
                if process.status == 0:
                    break
                if told is None:
                    book.faults.append(f"run {number} ended with status {process.status}: {log.read_text()[-2000:]}")
                    return done
                process = start(arguments, log)
    finally:
        if isinstance(process, Torchrun):
            process.end()
    compare(number, folder, undisturbed, book)
    book.runs.append(f"run {number}, {ranks} rank(s), shard {shard}: {done} kills")
    book.write()
    shutil.rmtree(runs)
    return done


def compare(number: int, folder: Folder, undisturbed: Folder, book: Book) -> None:
    """Note what differs between a run that was killed and the undisturbed one."""
    mine, theirs = folder.outcome(), undisturbed.outcome()
    book.faults += [f"run {number}: {name} differ from the undisturbed run's" for name in theirs if mine[name] != theirs[name]]
    steps = [line["step"] for line in folder.logged()]
    if steps != list(range(1, len(theirs["losses"]) + 1)):
        book.faults.append(f"run {number}: logged steps are {steps}")
    book.faults += [f"run {number}: verify: {fault}" for fault in verify_run(folder.run).faults]
    book.faults += [f"run {number}: {name} is left over" for name in sorted(folder.files() - undisturbed.files())]
    book.faults += [f"run {number}: {name} is missing" for name in sorted(undisturbed.files() - folder.files())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="kills in all")
    parser.add_argument("--two-ranks", type=int, default=60, help="how many of them with two ranks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)  # and no thread before the forks
    code_version(), environment()
    choose = random.Random(options.seed)
    command = f"python benchmarks/kills.py --trials {options.trials} --two-ranks {options.two_ranks} --seed {options.seed}"
    book = Book(options.out, command)
    with tempfile.TemporaryDirectory(prefix="pellucid-kills-") as scratch:
        base = Path(scratch) / "base" / "pocket-smoke"
        for stage in ("documents", "tokenizer", "shards"):
            assert command_line([stage, str(RECIPE), "--runs", str(base.parent)]) == 0
        number = 0
        for ranks, kills, shards in (
            (1, options.trials - options.two_ranks, ["none"]),
            (2, options.two_ranks, ["full", "zero1", "none"]),
        ):
            undisturbed: dict[str, Folder] = {}
            done = 0
            while done < kills:
                number += 1
                shard = shards[number % len(shards)]
                if shard not in undisturbed:
                    runs = Path(scratch) / f"undisturbed-{ranks}-{shard}"
                    shutil.copytree(base, runs / base.name)
                    process = (Alone if ranks == 1 else Torchrun)(arguments_of(runs, ranks, shard), runs / "log")
                    wait(process)
                    assert process.status == 0, (runs / "log").read_text()[-2000:]
                    undisturbed[shard] = Folder(runs / base.name)
                done += one_run(number, ranks, shard, kills - done, base, undisturbed[shard], choose, book)
                print(f"{len(book.kills)} kills, {len(book.runs)} runs compared, {len(book.faults)} faults", flush=True)
    book.write()
    return 1 if book.faults else 0


if __name__ == "__main__":
    sys.exit(main())
