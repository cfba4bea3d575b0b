"""Proof: training goes on with another number of ranks and another way of sharding, over the same data and with the same losses.

The pocket-smoke stage is trained several times, started by torchrun where there is more than one rank:

- `alone`: one process from beginning to end;
- `elastic`: the same stage in five parts, each stopped by SIGTERM to one rank at a fixed step and continued by the next, with
  another number of ranks and another `shard`;
- `exact` on one, two and four ranks, and `exact elastic`: the same with `exact: true`, whole and in parts.

Every rank writes down, step by step, the place in the order, the source and the sha256 of the tokens of each sequence that it is
given. Put together, that must be the same for every step of every run. Losses of `elastic` may differ from those of `alone` by
rounding; the exact runs must not differ in a bit of a loss, a gradient norm, a weight or a moment. Exit status 1 when any of it
does not hold.

    python benchmarks/elastic.py --steps 30
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kills import digest_of

from pellucid.batches.batch import Batch
from pellucid.batches.order import DataOrder
from pellucid.checkpoint.files import load_checkpoint
from pellucid.checkpoint.retention import list_checkpoints
from pellucid.core.environment import code_version, environment
from pellucid.core.errors import StoppedError
from pellucid.core.files import write_json
from pellucid.core.metrics import read_metrics
from pellucid.recipe.load import load_recipe
from pellucid.stages.run_folder import data_order
from pellucid.train.stage import run_stage
from pellucid.train.world import open_world

RECIPE = Path(__file__).parents[1] / "recipes" / "pocket-smoke.yaml"
BATCH_TOKENS, BATCH_SEQS = 1024, 8
SETTINGS = [f"train.0.batch_tokens={BATCH_TOKENS}", "train.0.micro_seqs=2", "train.0.checkpoint.every_steps=4"]
# Ranks, shard, and the part of the steps after which a rank is told to stop.
PARTS = [(1, "none", 0.2), (2, "zero1", 0.4), (4, "full", 0.6), (2, "none", 0.8), (1, "none", 1.0)]
EXACT_PARTS = [(ranks, "none", until) for ranks, _, until in PARTS]


class WrittenDown:
    """An order of data that writes down what is taken from it, and has this process told to stop where it should."""

    def __init__(self, order: DataOrder, batch_seqs: int, file: Path, stop_in_step: int | None) -> None:
        self._order, self._batch_seqs, self._file, self._stop_in_step = order, batch_seqs, file, stop_in_step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._order, name)

    def sequences(self, first: int, count: int) -> Batch:
        batch, step = self._order.sequences(first, count), first // self._batch_seqs + 1
        with self._file.open("a") as file:
            for row in range(count):
                place = int(batch.sequence_B[row])
                tokens = sha256(np.append(batch.ids_BT[row], batch.targets_BT[row, -1]).astype("<i8").tobytes()).hexdigest()
                file.write(json.dumps([step, place, batch.source_names[batch.source_B[row]], tokens]) + "\n")
        if step - 1 == self._stop_in_step:
            os.kill(os.getpid(), signal.SIGTERM)  # a step is read while the one before it is computed
        return batch


def worker(job: dict[str, Any]) -> None:
    """Train one part of a run, as one of the ranks that torchrun started or alone."""
    torch.set_num_threads(1)  # exact results depend on it
    recipe = load_recipe(RECIPE, job["settings"]).recipe
    stage, run = recipe.train[0], Path(job["run"])
    with open_world() as world:
        # One rank is told to stop, in the last step that is to be done.
        mine = world.rank == world.size - 1 and job["until"] < stage.total_steps
        order = WrittenDown(
            data_order(recipe, stage, Path(job["data"])),
            stage.batch_seqs,
            run / f"sequences-{job['part']}-{world.rank}.jsonl",
            job["until"] if mine else None,
        )
        try:
            run_stage(stage, recipe.model, order, recipe.seed, run, world=world)  # type: ignore[arg-type]
        except StoppedError as error:
            assert f"after step {job['until']} of" in str(error), error


def train(run: Path, data: Path, steps: int, exact: bool, parts: list[tuple[int, str, float]]) -> dict[str, Any]:
    """Train a run part by part; return what is compared."""
    run.mkdir()
    for part, (ranks, shard, until) in enumerate(parts):
        own = [
            f"train.0.length_tokens={steps * BATCH_TOKENS}",
            f"train.0.exact={str(exact).lower()}",
            f"train.0.parallel.shard={shard}",
        ]
        job = {"run": str(run), "data": str(data), "part": part, "until": round(until * steps), "settings": SETTINGS + own}
        start = [] if ranks == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        call = [sys.executable, *start, __file__, "--worker", json.dumps(job)]
        done = subprocess.run(call, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{run.name}, part {part}:\n{done.stderr[-4000:]}"
        print(f"{run.name}: step {job['until']} of {steps}, {ranks} rank(s), {shard}", flush=True)
    lines = list(read_metrics(run / "metrics.jsonl"))
    logged = [line for line in lines if "loss" in line]
    lines_read = [line for file in run.glob("sequences-*.jsonl") for line in file.read_text().splitlines()]
    state, _ = load_checkpoint(list_checkpoints(run / "checkpoints")[-1])
    return {
        "parts": [[line["ranks"], line["shard"]] for line in lines if line.get("event") in ("start", "resume")],
        "steps": [line["step"] for line in logged],
        "losses": [line["loss"] for line in logged],
        "grad_norms": [line["grad_norm"] for line in logged],
        "losses_by_source": [line["loss_by_source"] for line in logged],
        # A part that was stopped had read a step more, which the next part read again.
        "sequences": sorted(json.loads(line) for line in set(lines_read)),
        "receipt": json.loads((run / "receipt.json").read_text()),
        "model": state["model"],
        "digests": {name: digest_of(state[name]) for name in ("model", "optimizer")},
    }


def compare_data(name: str, run: dict[str, Any], first: dict[str, Any]) -> list[str]:
    """Return what differs between two runs in the data that they were given and in their books about it."""
    faults = [] if run["steps"] == first["steps"] else [f"{name}: logged steps are {run['steps']}"]
    if run["sequences"] != first["sequences"]:
        faults.append(f"{name}: other sequences were trained on")
    keys = ("order", "planned", "consumed", "target_tokens_by_source", "steps")
    return faults + [f"{name}: {key} differs in the receipt" for key in keys if run["receipt"][key] != first["receipt"][key]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--tolerance", type=float, default=1e-5, help="largest difference of a loss that is not exact, in nats")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(json.loads(options.worker))
        return 0
    result: dict[str, Any] = {
        "command": f"python benchmarks/elastic.py --steps {options.steps}",
        "code": code_version(),
        "environment": environment(),
        "settings": SETTINGS,
        "steps": options.steps,
        "tolerance": options.tolerance,
    }
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="pellucid-elastic-") as scratch:
        for stage in ("documents", "tokenizer", "shards"):
            subprocess.run([sys.executable, "-m", "pellucid", stage, str(RECIPE), "--runs", f"{scratch}/base"], check=True)
        data = Path(scratch) / "base" / "pocket-smoke"

        def go(name: str, exact: bool, parts: list[tuple[int, str, float]]) -> dict[str, Any]:
            return train(Path(scratch) / name.replace(" ", "-"), data, options.steps, exact, parts)

        alone, elastic = go("alone", False, [(1, "none", 1.0)]), go("elastic", False, PARTS)
        places = [(step, place) for step, place, _, _ in alone["sequences"]]
        if places != [(place // BATCH_SEQS + 1, place) for place in range(options.steps * BATCH_SEQS)]:
            faults.append("alone: a sequence was left out or given twice")
        faults += compare_data("elastic", elastic, alone)
        differences = {
            "loss": max(abs(a - b) for a, b in zip(alone["losses"], elastic["losses"], strict=True)),
            "loss_by_source": max(
                abs(a[name] - b[name])
                for a, b in zip(alone["losses_by_source"], elastic["losses_by_source"], strict=True)
                for name in a
            ),
            "grad_norm": max(abs(a - b) for a, b in zip(alone["grad_norms"], elastic["grad_norms"], strict=True)),
            "weight": max(float((elastic["model"][name] - value).abs().max()) for name, value in alone["model"].items()),
        }
        if differences["loss"] > options.tolerance:
            faults.append(f"elastic: a loss differs by {differences['loss']}")
        result |= {
            "elastic": {
                "parts": elastic["parts"],
                "sequences": len(elastic["sequences"]),
                "last_loss": {"alone": alone["losses"][-1], "elastic": elastic["losses"][-1]},
                "largest_difference": differences,
            },
            "faults": faults,
        }
        write_json(options.out, result)

        exact = {f"exact on {ranks}": go(f"exact on {ranks}", True, [(ranks, "none", 1.0)]) for ranks in (1, 2, 4)}
        exact["exact elastic"] = go("exact elastic", True, EXACT_PARTS)
        first = exact["exact on 1"]
        for name, run in exact.items():
            faults += compare_data(name, run, alone)
            for key in ("losses", "losses_by_source", "grad_norms", "digests"):
                if run[key] != first[key]:
                    faults.append(f"{name}: {key} are not those of one rank to the bit")
        result["exact"] = {
            name: {"parts": run["parts"], "last_loss": run["losses"][-1], "sha256": run["digests"]} for name, run in exact.items()
        }
        result["exact_from_plain"] = max(abs(a - b) for a, b in zip(alone["losses"], first["losses"], strict=True))
    result |= {"faults": faults, "holds": not faults}
    write_json(options.out, result)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
