"""What `pellucid plan` forecasts against what steps really take: memory and seconds, by shape, micro-batch and checkpointing.

Each case is a process of its own, with this machine measured just before it in another. Memory is the most that the process
ever held less what it held before the model was made, against the plan's total for one device; and all of it, against the total
with what the plan takes the interpreter and its libraries to need. Seconds are the median step of the training loop itself,
against the plan's likely time and its range. Tokens are random: neither depends on them. On a machine with other work the seconds
say little.

    python benchmarks/forecasts.py --threads 1
"""

import argparse
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = {
    "pocket": {"preset": "pocket", "context_tokens": 256},
    "stable-lm-2, scaled down": {
        "preset": "stable-lm-2-1.6b", "layers": 8, "hidden": 384, "heads": 6, "kv_heads": 6, "mlp_hidden": 1024,
        "vocab_tokens": 16_384, "context_tokens": 256,
    },
    "tinyllama, scaled down": {
        "preset": "tinyllama-1.1b", "layers": 8, "hidden": 384, "heads": 6, "kv_heads": 2, "mlp_hidden": 1024,
        "vocab_tokens": 8192, "context_tokens": 256,
    },
    "smollm2-135m, a third of its layers": {"preset": "smollm2-135m", "layers": 10, "context_tokens": 256},
    "tinyllama, scaled down, long": {
        "preset": "tinyllama-1.1b", "layers": 6, "hidden": 256, "heads": 4, "kv_heads": 4, "mlp_hidden": 704,
        "vocab_tokens": 8192, "context_tokens": 2560,
    },
}  # fmt: skip

CASES: list[dict[str, Any]] = [
    {"shape": "pocket", "micro_seqs": 16, "micro_steps": 1},
    {"shape": "pocket", "micro_seqs": 64, "micro_steps": 1},
    {"shape": "pocket", "micro_seqs": 64, "micro_steps": 1, "optimizer": {"kind": "muon"}},
    {"shape": "stable-lm-2, scaled down", "micro_seqs": 2, "micro_steps": 2},
    {"shape": "stable-lm-2, scaled down", "micro_seqs": 4, "micro_steps": 2},
    {"shape": "stable-lm-2, scaled down", "micro_seqs": 8, "micro_steps": 1},
    {"shape": "stable-lm-2, scaled down", "micro_seqs": 8, "micro_steps": 1, "activation_checkpointing": "selective"},
    {"shape": "stable-lm-2, scaled down", "micro_seqs": 8, "micro_steps": 1, "activation_checkpointing": "block"},
    {"shape": "stable-lm-2, scaled down", "micro_seqs": 8, "micro_steps": 1, "optimizer": {"kind": "muon"}},
    {"shape": "tinyllama, scaled down", "micro_seqs": 4, "micro_steps": 2},
    {"shape": "tinyllama, scaled down", "micro_seqs": 8, "micro_steps": 1},
    {"shape": "tinyllama, scaled down", "micro_seqs": 8, "micro_steps": 1, "activation_checkpointing": "selective"},
    {"shape": "tinyllama, scaled down", "micro_seqs": 8, "micro_steps": 1, "activation_checkpointing": "block"},
    {"shape": "tinyllama, scaled down, long", "micro_seqs": 1, "micro_steps": 1},
    {"shape": "smollm2-135m, a third of its layers", "micro_seqs": 2, "micro_steps": 2},
    {"shape": "smollm2-135m, a third of its layers", "micro_seqs": 4, "micro_steps": 1, "activation_checkpointing": "block"},
    {"shape": "smollm2-135m, a third of its layers", "micro_seqs": 4, "micro_steps": 1, "adapter": {"rank": 16}},
    {"shape": "smollm2-135m, a third of its layers", "micro_seqs": 4, "micro_steps": 1, "adapter": {"rank": 16, "quantize": "nf4"}},
]  # fmt: skip


def machine_here() -> dict[str, Any]:
    """Return this machine as a row of the table of devices, as `pellucid plan --on here` takes it."""
    from pellucid.train.calibrate import measure_machine
    from pellucid.train.device import pick_device

    return measure_machine(pick_device("fp32", "cpu")).model_dump()


def worker(case: dict[str, Any], steps: int) -> dict[str, Any]:
    """Make steps of one case in this process; return what was forecast, for the machine `case["machine"]`, and measured."""
    from pellucid.plan.devices import Device
    from pellucid.plan.memory import OVERHEAD_BYTES, rank_memory
    from pellucid.plan.parameters import count_parameters
    from pellucid.plan.roofline import Layout, step_parts
    from pellucid.recipe.model import ModelConfig
    from pellucid.recipe.read import read_preset
    from pellucid.recipe.training import OptimizerConfig, ScheduleConfig, TrainStageConfig
    from pellucid.recipe.tree import plain
    from pellucid.recipe.tuning import AdapterConfig
    from pellucid.train.device import deterministic, pick_device
    from pellucid.train.measure import Workbench

    shape = dict(SHAPES[case["shape"]])
    config = ModelConfig.model_validate({**plain(read_preset(shape.pop("preset"))), **shape})
    sequences = case["micro_seqs"] * case["micro_steps"]
    stage = TrainStageConfig(
        name="pretrain",
        length_tokens=sequences * config.context_tokens * steps,
        batch_tokens=sequences * config.context_tokens,
        seq_tokens=config.context_tokens,
        micro_seqs=case["micro_seqs"],
        compile="off",
        activation_checkpointing=case.get("activation_checkpointing", "none"),
        optimizer=OptimizerConfig(**case.get("optimizer", {})),
        adapter=AdapterConfig(**case["adapter"]) if "adapter" in case else None,
        schedule=ScheduleConfig(peak_lr=1e-4),
    )
    device = pick_device("fp32", "cpu")
    machine = Device.model_validate(case.pop("machine"))
    with deterministic():
        # Loads what training needs of the libraries, so that it is not counted as the model's.
        tiny = config.model_copy(
            update={"layers": 1, "hidden": 64, "heads": 1, "kv_heads": 1, "mlp_hidden": 64, "vocab_tokens": 64}
        )
        Workbench(stage.model_copy(update={"adapter": None}), tiny, device).measure(1, 1, warm_up=1, timed=1)
        gc.collect()
        before = resident_bytes()
        forget_peak()
        bench = Workbench(stage, config, device)
        times = bench.measure(case["micro_seqs"], case["micro_steps"], warm_up=1, timed=steps)
    peak = most_resident_bytes()
    forecast = rank_memory(config, stage, 1, bf16=False)["none"]
    # Nothing is saved or scored here: of what a run takes around its steps only what libraries make for them counts, and of a whole
    # process that is in what the interpreter and its libraries are taken to need.
    stepping = forecast["total"] - forecast["checkpoint"] - forecast["overhead"]
    total = stepping + OVERHEAD_BYTES
    seconds = {name: parts.total_s for name, parts in step_parts(config, stage, machine, Layout(1, bf16=False)).items()}
    parts = step_parts(config, stage, machine, Layout(1, bf16=False))["likely"]
    return {
        **case,
        "parameters": count_parameters(config).total,
        "machine": {
            "peak_flops": machine.peak_flops,
            "bandwidth_bytes_per_s": machine.bandwidth_bytes_per_s,
            "compute_frac": machine.compute_frac.model_dump(),
        },
        "memory": {
            "forecast": {kind: value for kind, value in forecast.items() if not kind.startswith("total_")},
            "training_bytes": total,
            "measured_bytes": peak - before,
            "ratio": total / (peak - before),
            "process_bytes": peak,
            "before_bytes": before,
            "process_ratio": (stepping + machine.runtime_bytes) / peak,
        },
        "step": {
            "forecast_s": seconds,
            "bound": parts.bound,
            "compute_s": parts.compute_s,
            "memory_s": parts.memory_s,
            "measured_s": times.step_s(),
            "phases_s": times.median_phases_s(),
            "ratio": seconds["likely"] / times.step_s(),
            "inside": seconds["low"] <= times.step_s() <= seconds["high"],
        },
    }


def resident_bytes() -> int:
    """Return what this process holds now."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) * 1024


def forget_peak() -> None:
    """Begin the count of the most memory anew (Linux; man 5 proc, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def most_resident_bytes() -> int:
    """Return the most that this process held since `forget_peak`."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def told(row: dict[str, Any]) -> str:
    """Return a line for the terminal."""
    memory, step = row["memory"], row["step"]
    name = ", ".join(f"{key} {value}" for key, value in row.items() if key in ("activation_checkpointing", "optimizer", "adapter"))
    return (
        f"{row['shape']:30} {row['micro_seqs']:3} x {row['micro_steps']}  {name:40} "
        f"memory {memory['training_bytes'] / 2**20:6.0f} of {memory['measured_bytes'] / 2**20:6.0f} MiB ({memory['ratio']:.2f}, "
        f"process {memory['process_ratio']:.2f})  step {step['forecast_s']['likely']:.2f} for {step['measured_s']:.2f} s "
        f"({step['ratio']:.2f})"
    )


def main() -> None:
    """Measure every case, or be one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each case")
    parser.add_argument("--only", help="cases whose shape holds this")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        case = json.loads(arguments.worker)
        sys.stdout.write(json.dumps(worker(case, arguments.steps) if case else machine_here()) + "\n")
        return
    rows = []
    for case in CASES:
        if arguments.only and arguments.only not in case["shape"]:
            continue
        rows.append(apart({**case, "machine": apart({}, arguments)}, arguments))
        print(told(rows[-1]), flush=True)
    if not arguments.only:
        write(rows, arguments)


def apart(case: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure a case in a process of its own, or of an empty one the machine."""
    call = [sys.executable, __file__, "--worker", json.dumps(case), "--steps", str(arguments.steps)]
    environ = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    done = subprocess.run(call, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Record all cases and how far off the forecasts were."""
    from pellucid.core.environment import code_version, environment
    from pellucid.core.files import write_json

    memory = [row["memory"]["ratio"] for row in rows]
    whole = [row["memory"]["process_ratio"] for row in rows]
    steps = [row["step"]["ratio"] for row in rows]
    write_json(
        arguments.out,
        {
            "command": f"python benchmarks/forecasts.py --threads {arguments.threads} --steps {arguments.steps}",
            "code_version": code_version(),
            "environment": environment(),
            "threads": arguments.threads,
            "summary": {
                "cases": len(rows),
                "memory_ratio": {"lowest": min(memory), "highest": max(memory)},
                "process_memory_ratio": {"lowest": min(whole), "highest": max(whole)},
                "step_ratio": {"lowest": min(steps), "highest": max(steps)},
                "steps_inside_their_range": sum(row["step"]["inside"] for row in rows),
            },
            "cases": rows,
        },
    )


if __name__ == "__main__":
    main()
