"""What watching a run costs it: steps of a real training with and without a watcher, in turns, and the watcher's own CPU time.

    python benchmarks/watch.py [--turns 24] [--turn-s 10] [--run DIR]

A watcher reads files that the training has just written, so all that it can take from it is time of the processor: its CPU seconds
a minute are the figure that a busy machine does not blur, and next to it the training's own CPU time of a step. Chromium's is not
counted: whoever looks has a browser. The ratio of step times is taken within one training, in turns of a few
seconds without a watcher, with the terminal view, and with the page open in Chromium. DIR is a finished pocket run to take shards
from; without one, documents, tokenizer and shards are made first.
"""

import argparse
import json
import os
import pty
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from itertools import chain
from pathlib import Path
from termios import TIOCSWINSZ

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).with_suffix(".json")
PELLUCID = [sys.executable, "-m", "pellucid"]
TICKS = os.sysconf("SC_CLK_TCK")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
LARGE_LINES = 1_000_000


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def read_bytes(pid: int) -> int:
    """Bytes that a process has asked for in reads, of files and of all else."""
    return int(Path(f"/proc/{pid}/io").read_text().split("rchar: ")[1].split()[0])


@contextmanager
def terminal_watch(run: Path, columns: int = 120, lines: int = 40) -> Iterator[int]:
    """The terminal view behind a pseudo-terminal whose output is taken and thrown away. Yields its process."""
    keys, inner = pty.openpty()
    ioctl(inner, TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    child = subprocess.Popen([*PELLUCID, "watch", str(run)], stdin=inner, stdout=inner, stderr=subprocess.DEVNULL)
    os.close(inner)

    def drain() -> None:
        try:
            while os.read(keys, 65536):
                pass
        except OSError:
            pass

    threading.Thread(target=drain, daemon=True).start()
    try:
        yield child.pid
    finally:
        child.kill()
        child.wait()
        os.close(keys)


@contextmanager
def page_watch(run: Path) -> Iterator[int]:
    """The page's server, and the page open in Chromium. Yields the server's process."""
    from playwright.sync_api import sync_playwright

    command = [*PELLUCID, "watch", str(run), "--web", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child, sync_playwright() as session:
        assert child.stdout is not None
        address = child.stdout.readline().split(": ")[1].split()[0]
        browser = session.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(address)
            yield child.pid
        finally:
            browser.close()
            child.terminate()


@contextmanager
def nobody(run: Path) -> Iterator[int]:
    """No watcher."""
    yield 0


WATCHERS: dict[str, Callable] = {"nobody": nobody, "terminal": terminal_watch, "page": page_watch}


def prepared(folder: Path, finished: Path | None) -> Path:
    """A run folder with documents, tokenizer and shards. The runs folder is its parent."""
    run = folder / "pocket"
    if finished is not None:
        made_here = ("pretrain", "sft", "dpo", "self_knowledge", "scores", "exports", "report", ".lock")
        shutil.copytree(
            finished, run, ignore=lambda path, names: [name for name in names if name in made_here and path == str(finished)]
        )
        return run
    for stage in ("documents", "tokenizer", "shards"):
        subprocess.run([*PELLUCID, stage, str(ROOT / "recipes/pocket.yaml"), "--runs", str(folder)], check=True)
    return run


def step_lines(metrics: Path) -> list[dict]:
    """The steps of a metrics file so far."""
    whole = metrics.read_text().splitlines() if metrics.is_file() else []
    return [record for record in map(json.loads, whole[:-1]) if "loss" in record]


def in_turns(run: Path, turns: int, turn_s: float) -> dict:
    """Train, with and without watchers in turns; return step times of each kind of turn, and what the watchers used."""
    log = (run.parent / "train.log").open("w")
    # Small steps, many a second: more to read and to draw than real ones give.
    settings = ["length_tokens=4e9", "batch_tokens=1024", "micro_seqs=2", "samples.every_steps=0", "curves=null"]
    settings.append("checkpoint.every_steps=100000")
    command = [*PELLUCID, "train", str(ROOT / "recipes/pocket.yaml"), "--runs", str(run.parent)]
    command += [part for one in settings for part in ("--set", f"train.0.{one}")]
    training = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    metrics, kinds = run / "pretrain/metrics.jsonl", list(WATCHERS)
    step_s: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    used: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    step_cpu_s: dict[str, list[float]] = {kind: [] for kind in kinds}
    try:
        while len(step_lines(metrics)) < 10:
            assert training.poll() is None, Path(log.name).read_text()
            time.sleep(1)
        for turn in range(turns):
            kind = kinds[turn % len(kinds)]
            with WATCHERS[kind](run) as pid:
                time.sleep(4)  # starting it is not watching
                first, began = len(step_lines(metrics)), time.monotonic()
                before = (cpu_s(pid), read_bytes(pid)) if pid else (0.0, 0)
                of_training = cpu_s(training.pid)
                time.sleep(turn_s)
                after = (cpu_s(pid), read_bytes(pid)) if pid else (0.0, 0)
                seconds, of_training = time.monotonic() - began, cpu_s(training.pid) - of_training
                lines = step_lines(metrics)[first + 1 :]
            step_s[kind].append([sum(line["seconds"].values()) for line in lines])
            per_minute = {"cpu_s": 60 / seconds * (after[0] - before[0]), "bytes": 60 / seconds * (after[1] - before[1])}
            used[kind].append(per_minute)
            if lines:
                step_cpu_s[kind].append(of_training / len(lines))
            print(f"turn {turn + 1}/{turns} {kind}: {len(lines)} steps, CPU {per_minute['cpu_s']:.2f} s a minute", flush=True)
        written = metrics.stat().st_size / max(1, len(step_lines(metrics)))
    finally:
        training.kill()
        training.wait()
    return {"step_s": step_s, "step_cpu_s": step_cpu_s, "used": used, "bytes_a_step": written}


def ratios(step_s: dict[str, list[list[float]]]) -> dict[str, dict[str, float]]:
    """For each watcher the ratio of its turns' median step time to that of the turn just before without one: its quartiles."""
    found = {}
    for kind in step_s.keys() - {"nobody"}:
        pairs = [
            statistics.median(with_) / statistics.median(without)
            for without, with_ in zip(step_s["nobody"], step_s[kind], strict=False)
            if with_ and without
        ]
        low, middle, high = statistics.quantiles(pairs, n=4)
        found[kind] = {"turns": len(pairs), "median": middle, "lower_quartile": low, "upper_quartile": high}
    return found


def large(folder: Path) -> dict[str, float]:
    """A stage of a million steps: seconds to the first picture and to the whole, and memory, in a process of its own."""
    stage = folder / "large/pretrain"
    stage.mkdir(parents=True)
    with (stage / "metrics.jsonl").open("w") as file:
        for step in range(1, LARGE_LINES + 1):
            loss = 2 + 8 / (1 + step / 5000)
            sources = ", ".join(f'"source-{n}": {loss + n / 10:.6f}' for n in range(8))
            file.write(
                f'{{"step": {step}, "loss": {loss:.9f}, "loss_by_source": {{{sources}}}, "skipped": false, '
                f'"tokens": {step * 4096}, "step_tokens": 4096, "lr": 0.001, "grad_norm": 0.5, "seconds": {{"data": 0.001, '
                f'"forward_backward": 0.3, "optimizer": 0.02, "other": 0.001}}, "tokens_per_s": 12760.1, '
                f'"mfu": 0.4, "mfu_6n": 0.38, "memory_bytes": 1073741824}}\n'
            )
    code = (
        "import json, resource, sys, time\nbegan = time.monotonic()\nfrom pathlib import Path\n"
        "from pellucid.watch.run import RunWatch\nfrom pellucid.watch.terminal import frame\nfrom pellucid.watch.view import View\n"
        "run = RunWatch(Path(sys.argv[1]))\nrun.poll()\nlines = frame([run], View(), 120, 40)\nfirst = time.monotonic() - began\n"
        "run.read_all()\nframe([run], View(), 120, 40)\nwhole = time.monotonic() - began\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "print(json.dumps({'first_picture_s': first, 'whole_s': whole, 'peak_bytes': peak}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder / "large")], capture_output=True, text=True, check=True)
    size = (stage / "metrics.jsonl").stat().st_size
    return {"lines": LARGE_LINES, "bytes": size, **json.loads(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=24)
    parser.add_argument("--turn-s", type=float, default=10.0)
    parser.add_argument("--run", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        of_large = large(folder)
        shutil.rmtree(folder / "large")
        print(of_large, flush=True)
        measured = in_turns(prepared(folder, arguments.run), arguments.turns, arguments.turn_s)
    watchers = {
        kind: {
            "cpu_s_a_minute": statistics.median(one["cpu_s"] for one in turns),
            "share_of_a_core": statistics.median(one["cpu_s"] for one in turns) / 60,
            "bytes_read_a_minute": statistics.median(one["bytes"] for one in turns),
        }
        for kind, turns in measured["used"].items()
        if kind != "nobody"
    }
    result = {
        "environment": environment(),
        "code_version": code_version(),
        "turns": arguments.turns,
        "turn_s": arguments.turn_s,
        "load": os.getloadavg(),
        "median_step_s": {kind: statistics.median(chain.from_iterable(turns)) for kind, turns in measured["step_s"].items()},
        "steps": {kind: sum(map(len, turns)) for kind, turns in measured["step_s"].items()},
        "step_time_ratio": ratios(measured["step_s"]),
        "median_step_cpu_s": {kind: statistics.median(turns) for kind, turns in measured["step_cpu_s"].items()},
        "step_cpu_ratio": {
            kind: statistics.median(turns) / statistics.median(measured["step_cpu_s"]["nobody"])
            for kind, turns in measured["step_cpu_s"].items()
            if kind != "nobody"
        },
        "bytes_a_step": measured["bytes_a_step"],
        "watchers": watchers,
        "large_file": of_large,
        "own_cpu_s": resource.getrusage(resource.RUSAGE_SELF).ru_utime,
    }
    write_json(OUT, result)
    print(json.dumps({key: result[key] for key in ("step_time_ratio", "step_cpu_ratio", "watchers", "large_file")}, indent=1))


if __name__ == "__main__":
    main()
