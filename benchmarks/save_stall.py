"""What a checkpoint costs training: how long a step waits for it, and how much slower training is for it.

One stage is trained in segments, in turn and in changing order: without a checkpoint (`never`), with one that is written beside
training as Pellucid does it (`beside`), and with one that is written in the step, by `save_checkpoint` (`in the step`). It comes in
the middle of its segment, and a segment is over when it is durable. With two ranks, torchrun starts this script again.

The stall is the time that the loop spends in its `save` hook, on the rank that spends most. Promised are a stall below 20 % of that
of a checkpoint in the step, and at most 3 % of throughput lost at the given number of steps between two checkpoints. What a
checkpoint costs does not depend on that number, so the seconds between checkpoints from which it costs 3 % or less are given, too.
The first segment of each kind is not counted. Exit status 1 when a promise does not hold.

    python benchmarks/save_stall.py --rounds 5 --every-steps 40
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.retention import apply_retention
from pellucid.cli.main import THREADS_WAIT
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.processes import available_cores
from pellucid.optim.optimizer import build_optimizer
from pellucid.recipe.load import load_recipe
from pellucid.stages.run_folder import data_order
from pellucid.train.allocation import keep_freed_memory
from pellucid.train.build import build_model
from pellucid.train.device import deterministic, pick_device
from pellucid.train.gradients import LocalGradients
from pellucid.train.loop import Hooks, Task, train
from pellucid.train.objectives.next_token import next_token
from pellucid.train.saver import Saver
from pellucid.train.sharding import ShardedGradients, shard_model
from pellucid.train.state import TrainState
from pellucid.train.world import open_world

RECIPE = Path(__file__).parents[1] / "recipes" / "pocket-smoke.yaml"
MODES = ("never", "beside", "in the step")
BATCH_TOKENS = 512
SETTINGS = [
    "train.0.optimizer.kind=adamw",
    f"train.0.batch_tokens={BATCH_TOKENS}",
    "train.0.micro_seqs=2",
    "train.0.samples.every_steps=0",
    "train.0.checkpoint.every_steps=1",  # the hook is asked in every step, and decides
]


def worker(options: argparse.Namespace) -> None:
    """Train through all segments and print, from the first rank, seconds by segment and by stall."""
    every, scratch = options.every_steps, Path(options.work)
    segments = len(MODES) * (options.rounds + 1)
    size = [f"model.hidden={options.hidden}", f"model.layers={options.layers}", f"model.mlp_hidden={3 * options.hidden}"]
    own = [f"train.0.length_tokens={segments * every * BATCH_TOKENS}", f"train.0.parallel.shard={options.shard}"]
    recipe = load_recipe(RECIPE, [*SETTINGS, *size, *own]).recipe
    stage = recipe.train[0]
    keep_freed_memory()
    with open_world() as world, deterministic():
        device = pick_device(stage.precision)
        model, compiled = build_model(stage, recipe.model, device, 1)
        if world.size > 1:
            shard_model(model, stage.parallel, world, device.device)
        else:
            model.to(device.device)
        state = TrainState(model, build_optimizer(model, stage.optimizer))
        gradients = ShardedGradients(model, stage.parallel.shard) if world.size > 1 else LocalGradients()
        order = data_order(recipe, stage, scratch / "base" / "pocket-smoke")
        task = Task(stage, order, partial(next_token, z_loss=0.0), device, gradients, world, compiled)
        saver = Saver(scratch / "beside", stage, recipe.model, {"seed": 1}, world)
        group = dist.new_group(backend="gloo") if world.size > 1 else None
        stalls: dict[str, list[float]] = defaultdict(list)
        lengths: dict[str, list[float]] = defaultdict(list)
        began = [time.perf_counter()]

        def mode_of(segment: int) -> str:
            return MODES[(segment + segment // len(MODES)) % len(MODES)]

        def save(now: TrainState) -> None:
            segment, place = divmod(now.progress.step, every)
            if place == every // 2 and now.progress.step < stage.total_steps:
                started = time.perf_counter()
                if mode_of(segment) == "beside":
                    saver.save(now)
                elif mode_of(segment) == "in the step":
                    save_checkpoint(scratch / "in-the-step", now.progress.step, now.state_dict(), meta={"seed": 1}, group=group)
                    if world.is_first:
                        apply_retention(scratch / "in-the-step", stage.checkpoint)
                stalls[mode_of(segment)].append(time.perf_counter() - started)
            elif place == 0 and segment:
                saver.last_saved()
                device.synchronize()
                now_s = time.perf_counter()
                lengths[mode_of(segment - 1)].append(now_s - began[0])
                began[0] = now_s

        none = {name: lambda _: None for name in ("watch", "snapshot", "log", "event")}
        train(state, task, Hooks(save=save, last_saved=saver.last_saved, stop=lambda: None, **none))
        largest = {
            mode: np.max(np.split(world.gather(np.array(found)[:, None]), world.size), axis=0)[:, 0].tolist()
            for mode, found in stalls.items()
        }
        path = Path(saver.last_saved())
        saver.__exit__(None, None, None)
        if world.is_first:
            written = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            found = {
                "device": str(device.device),
                "threads": torch.get_num_threads(),
                "checkpoint_bytes": written,
                "stall_s": {mode: values[1:] for mode, values in largest.items() if mode != "never"},
                "segment_s": {mode: values[1:] for mode, values in lengths.items()},
            }
            sys.stdout.write("\n" + json.dumps(found) + "\n")


def figures(found: dict[str, Any], every: int) -> dict[str, Any]:
    """Return medians, what they make of the promises, and every single value."""
    stall = {mode: statistics.median(values) for mode, values in found["stall_s"].items()}
    length = {mode: statistics.median(values) for mode, values in found["segment_s"].items()}
    cost_s = length["beside"] - length["never"]
    lost = {mode: 1 - length["never"] / length[mode] for mode in ("beside", "in the step")}
    return {
        "device": found["device"],
        "threads": found["threads"],
        "checkpoint_bytes": found["checkpoint_bytes"],
        "median_stall_s": stall,
        "stall_ratio": stall["beside"] / stall["in the step"],
        "step_s": length["never"] / every,
        "tokens_per_s": {mode: every * BATCH_TOKENS / seconds for mode, seconds in length.items()},
        "throughput_lost_frac": lost,
        "a_checkpoint_costs_s": {"beside": cost_s, "in the step": length["in the step"] - length["never"]},
        "costs_3_percent_every_s": cost_s / 0.03,
        "holds": {
            "stall below 20 %": stall["beside"] < 0.2 * stall["in the step"],
            "throughput within 3 %": lost["beside"] <= 0.03,
        },
        "each": {"stall_s": found["stall_s"], "segment_s": found["segment_s"]},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every-steps", type=int, default=40)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shard", default="zero1", choices=("none", "zero1", "full"), help="with more than one rank")
    parser.add_argument("--hidden", type=int, default=512, help="512 and 8 layers: a checkpoint of some 350 MB")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        worker(options)
        return 0
    result: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/save_stall.py", *sys.argv[1:]]),
        "code": code_version(),
        "environment": environment(),
        "every_steps": options.every_steps,
        "shard": options.shard,
        "ranks": {},
    }
    shape = [
        f"--{name}={getattr(options, name.replace('-', '_'))}" for name in ("rounds", "every-steps", "shard", "hidden", "layers")
    ]
    for ranks in options.ranks:
        with tempfile.TemporaryDirectory(prefix="pellucid-save-stall-") as scratch:
            for stage in ("documents", "tokenizer", "shards"):
                call = [sys.executable, "-m", "pellucid", stage, str(RECIPE), "--runs", f"{scratch}/base"]
                subprocess.run(call, check=True, stderr=subprocess.DEVNULL)
            start = [] if ranks == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
            call = [sys.executable, *start, __file__, f"--work={scratch}", *shape]
            # Threads as the command line has them; under torchrun each process gets its share of the cores.
            threads = {**THREADS_WAIT, "OMP_NUM_THREADS": str(max(1, available_cores() // ranks))}
            done = subprocess.run(call, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=True)
        result["ranks"][str(ranks)] = figures(json.loads(done.stdout.splitlines()[-1]), options.every_steps)
        write_json(options.out, result)
        print(ranks, "rank(s):", {name: value for name, value in result["ranks"][str(ranks)].items() if name != "each"}, flush=True)
    return 0 if all(all(found["holds"].values()) for found in result["ranks"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
