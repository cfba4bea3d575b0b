"""What idle OpenMP threads should do: training speed by `OMP_WAIT_POLICY` or GNU OpenMP's spin count, idle or shared.

A thread that waits actively spins until its partners arrive. When another process holds one of the cores, the spinning thread and
the late one fight for the other. The command line has them spin briefly ("ours"). Each figure is the median over the later
steps.

    python benchmarks/wait_policy.py --steps 24 --repeats 4
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pocket_sweep import SHORT, prepare

from pellucid.cli.main import THREADS_WAIT
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.metrics import read_metrics
from pellucid.recipe.load import load_recipe
from pellucid.stages.run_folder import data_order
from pellucid.train.stage import run_stage

RECIPE = Path(__file__).parents[1] / "recipes" / "pocket.yaml"
POLICIES: dict[str, dict[str, str]] = {
    "not set": {},
    "ACTIVE": {"OMP_WAIT_POLICY": "ACTIVE"},
    "PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "ours": THREADS_WAIT,
    "spin 3000": {"GOMP_SPINCOUNT": "3000"},
}


def worker(steps: int, work: Path) -> None:
    run = prepare(RECIPE, list(SHORT), work)
    batch_tokens = load_recipe(RECIPE).recipe.train[0].batch_tokens
    recipe = load_recipe(RECIPE, [*SHORT, f"train.0.length_tokens={steps * batch_tokens}", "train.0.samples.every_steps=0"]).recipe
    with tempfile.TemporaryDirectory() as scratch:
        run_stage(recipe.train[0], recipe.model, data_order(recipe, recipe.train[0], run), recipe.seed, Path(scratch))
        rates = [record["tokens_per_s"] for record in read_metrics(Path(scratch) / "metrics.jsonl") if "loss" in record]
    sys.stdout.write(f"{statistics.median(rates[steps // 3 :])}\n")


def measure(policy: dict[str, str], busy: bool, steps: int, work: str) -> float:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        call = [sys.executable, __file__, "--worker", "--steps", str(steps), "--work", work]
        done = subprocess.run(call, env=inherited | policy, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        if other:
            other.kill()
            other.wait()
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--work", default=str(Path(tempfile.gettempdir()) / "pellucid-sweep"), help="scratch folder")
    parser.add_argument("--out", default="benchmarks/wait_policy.json")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.steps, Path(arguments.work))
        return
    measure({}, False, 3, arguments.work)  # makes the shards
    cases = [(name, busy) for busy in (False, True) for name in POLICIES]
    found: dict[tuple[str, bool], list[float]] = {case: [] for case in cases}
    for _ in range(arguments.repeats):  # in turn, so that the machine's moods fall on all alike
        for name, busy in cases:
            found[name, busy].append(measure(POLICIES[name], busy, arguments.steps, arguments.work))
            print(name, "one core taken" if busy else "idle machine", found[name, busy][-1], flush=True)
    rows = [
        {"policy": name, "one_core_taken": busy, "tokens_per_s": statistics.median(rates), "each": rates}
        for (name, busy), rates in found.items()
    ]
    write_json(Path(arguments.out), {"code": code_version(), "environment": environment(), "steps": arguments.steps, "rows": rows})


if __name__ == "__main__":
    main()
