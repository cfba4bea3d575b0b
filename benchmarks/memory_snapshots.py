"""What snapshots in memory cost: the stall of a step that makes one, and throughput, by the number of steps between two.

Each round trains the same steps once for every distance, in turn, 0 standing for none, in the same processes. A step's time is all
that `metrics.jsonl` counts of it; the stall is what the steps that make a snapshot spend outside of training, beyond what steps do
without snapshots. Tokens are random: nothing here depends on them.

    python benchmarks/memory_snapshots.py --ranks 2 --steps 40 --rounds 5
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pellucid.batches.order import DataOrder
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.metrics import read_metrics
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import CheckpointConfig, ParallelConfig, ScheduleConfig, TrainStageConfig
from pellucid.train.measure import RandomStream
from pellucid.train.stage import run_stage
from pellucid.train.world import open_world

SHAPES = {
    "pocket": {"vocab_tokens": 8192, "layers": 6, "hidden": 256, "heads": 4, "kv_heads": 4, "mlp_hidden": 704},
    "1.6b": {"vocab_tokens": 100_352, "layers": 24, "hidden": 2048, "heads": 32, "kv_heads": 32, "mlp_hidden": 5632},
}


def worker(arguments: argparse.Namespace) -> None:
    model = ModelConfig(
        **SHAPES[arguments.shape], context_tokens=arguments.seq_tokens, norm="layernorm", norm_bias=False, rotary_frac=0.25,
        qkv_bias=True, tied_head=False,
    )  # fmt: skip
    batch_tokens = arguments.seqs * arguments.ranks * arguments.seq_tokens
    stream = RandomStream(model.vocab_tokens, arguments.seq_tokens)
    order = DataOrder({"random": stream}, {"random": 1}, arguments.seq_tokens, 1, "causal")
    with open_world() as world:
        for round_number in range(arguments.rounds):
            for every in arguments.every:
                stage = TrainStageConfig(
                    name="pretrain",
                    length_tokens=arguments.steps * batch_tokens,
                    batch_tokens=batch_tokens,
                    seq_tokens=arguments.seq_tokens,
                    micro_seqs=arguments.seqs,
                    schedule=ScheduleConfig(peak_lr=1e-4),
                    parallel=ParallelConfig(shard=arguments.shard),
                    checkpoint=CheckpointConfig(every_steps=10**9, memory_every_steps=every),
                )
                run_stage(stage, model, order, 1, arguments.work / f"{round_number}-{every}", world=world)


def figures(metrics: Path, every: int, skip: int) -> dict[str, float]:
    """Seconds per step over all steps after the first `skip`, and what steps with a snapshot spend outside of training."""
    steps = [line for line in read_metrics(metrics) if "loss" in line and line["step"] > skip]
    # A snapshot of step n is begun at the head of step n + 1; without snapshots every step is one to compare with.
    due = [line["seconds"]["other"] for line in steps if (line["step"] - 1) % (every or 1) == 0]
    return {
        "step_s": statistics.mean(sum(line["seconds"].values()) for line in steps),
        "other_s": statistics.median(due),
        "longest_s": max(sum(line["seconds"].values()) for line in steps),
    }


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={arguments.ranks}"]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // arguments.ranks))}
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([*call, __file__, "--worker", scratch, *sys.argv[1:]], env=threads | os.environ, check=True)
        found = {
            every: [figures(Path(scratch) / f"{n}-{every}/metrics.jsonl", every, arguments.skip) for n in range(arguments.rounds)]
            for every in arguments.every
        }
        parameters = next(read_metrics(Path(scratch) / f"0-{arguments.every[0]}/metrics.jsonl"))["parameters"]
    rows = []
    for every, rounds in found.items():
        stalls = [this["other_s"] - none["other_s"] for none, this in zip(found[0], rounds, strict=True)]
        ratios = [none["step_s"] / this["step_s"] for none, this in zip(found[0], rounds, strict=True)]
        rows.append(
            {
                "memory_every_steps": every,
                "throughput_ratio": statistics.median(ratios),
                "throughput_ratio_each": ratios,
                "stall_s": statistics.median(stalls),
                "step_s": statistics.median(this["step_s"] for this in rounds),
                "longest_step_s": statistics.median(this["longest_s"] for this in rounds),
                "parameters": parameters,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="pocket")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--shard", choices=("none", "zero1", "full"), default="full")
    parser.add_argument("--seqs", type=int, default=8, help="sequences of a step on each rank")
    parser.add_argument("--seq-tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--skip", type=int, default=4, help="first steps that are not counted")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, nargs="+", default=[0, 20, 5, 1], help="steps between two snapshots; 0 must be there")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--worker", dest="work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        worker(arguments)
        return
    if 0 not in arguments.every:
        parser.error("--every needs 0: the runs without snapshots are what the others are compared with")
    config = {name: value for name, value in vars(arguments).items() if name not in ("work", "out")}
    rows = measure(arguments)
    about = {
        "command": " ".join(["python", "benchmarks/memory_snapshots.py", *sys.argv[1:]]),
        "commit": code_version(),
        "hardware": environment(),
    }
    write_json(arguments.out, {**about, "config": config, "rows": rows})
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
