"""This machine as a row of the table of devices: what its products, its memory and training steps reach, measured in a second."""

import time
from functools import cache

import torch

from pellucid.core.environment import environment
from pellucid.core.processes import available_cores
from pellucid.plan.devices import Device as Planned
from pellucid.plan.devices import device_named
from pellucid.plan.gpus import gpu_named, unlisted_gpu
from pellucid.plan.parameters import count_parameters
from pellucid.plan.roofline import Layout, step_bytes, step_flops
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.read import read_preset
from pellucid.recipe.training import OptimizerConfig, ScheduleConfig, TrainStageConfig
from pellucid.recipe.tree import plain
from pellucid.train.allocation import give_back
from pellucid.train.device import Device, deterministic
from pellucid.train.measure import Workbench

__all__ = ["measure_machine", "share_of_peak"]

# Far more than a processor's caches hold.
_COPIED_BYTES = 2**28
_COPIES = 4
# What is trained for a moment, to see which share of the peak a step reaches: some tenths of a second a step.
_SHAPE = {"layers": 3, "hidden": 256, "heads": 4, "kv_heads": 4, "mlp_hidden": 704, "vocab_tokens": 4096, "context_tokens": 256}
_SEQUENCES = 4
_WARM_UP, _TIMED = 1, 4
# A core that shares its memory and its power with others: what such a machine has when nothing tells. Half of the row cpu-2-core,
# whose sources the table has.
_WATTS_PER_CORE = {"low": 2.0, "likely": 4.0, "high": 8.0}
_PRICE_PER_CORE = {"low": 0.025, "likely": 0.05, "high": 0.1}


@cache
def measure_machine(device: Device) -> Planned:
    """Return what `device` is to be planned with: its peak and bandwidth as measured now, by as many threads as torch has.

    Of a GPU the table says what cannot be measured on one of it, links, power, price, and which shares of peak and bandwidth
    training reaches; of one that it does not know, the bounds of all that it does. Of a CPU power and price are estimates by the
    core, and the share of the peak is that of a small decoder's steps. Measured once in a process.
    """
    peak, peak_source = device.peak_flops()
    bandwidth, bandwidth_source = _bandwidth(device)
    measured = {"peak_flops": peak_source, "bandwidth_bytes_per_s": bandwidth_source}
    if device.device.type == "cuda":
        name = torch.cuda.get_device_name(device.device)
        known = gpu_named(name)
        listed = known.row if known is not None else None
        row = unlisted_gpu(name) if listed is None else device_named(listed)
        memory = torch.cuda.get_device_properties(device.device).total_memory
        changes = {
            "title": f"{name} (this machine{'' if listed else '; the table has no row for it'})",
            "devices_per_node": torch.cuda.device_count(),
        }
    else:
        row = device_named("cpu-2-core")
        facts, usable = environment(), available_cores()
        # Peak and bandwidth are those of torch's threads, so power and price are those of as many cores.
        cores = min(torch.get_num_threads(), usable)
        memory = int(facts["memory_bytes"])
        reached, reached_source = share_of_peak(device, row, peak, bandwidth)
        changes = {
            "title": f"{facts['processor']}, {cores} of {usable} cores (this machine)",
            "cores": cores,
            "power_w": {name: watts * cores for name, watts in _WATTS_PER_CORE.items()},
            "price_per_hour": {name: price * cores for name, price in _PRICE_PER_CORE.items()},
            "runtime_bytes": row.runtime_bytes,
            "compute_frac": reached,
        }
        measured |= {
            "compute_frac": reached_source,
            "cores": "measured: those that torch computes with, of what this process may use",
            "power_w": "estimate: by the core, as cpu-2-core has it",
            "price_per_hour": "estimate: a virtual machine, by the core, as cpu-2-core has it",
        }
    return Planned.model_validate(
        {
            **row.model_dump(),
            **changes,
            "precision": device.precision,
            "peak_flops": peak,
            "bandwidth_bytes_per_s": bandwidth,
            "memory_bytes": memory,
            "sources": {**row.sources, **measured, "memory_bytes": "measured: what the machine has"},
        }
    )


def share_of_peak(device: Device, row: Planned, peak: float, bandwidth: float) -> tuple[dict[str, float], str]:
    """Return which share of the peak a CPU's training steps reach, and how that was found.

    Likely is what the fastest of some steps says, less what the roofline takes for moving memory: wider vectors make products
    faster and leave the rest of a step as it is, so no share is right for all processors. Both bounds are as far off as the row's
    lower one.
    """
    config = ModelConfig.model_validate({**plain(read_preset("pocket")), **_SHAPE})
    batch_tokens = _SEQUENCES * config.context_tokens
    stage = TrainStageConfig(
        name="calibration",
        length_tokens=batch_tokens,
        batch_tokens=batch_tokens,
        seq_tokens=config.context_tokens,
        micro_seqs=_SEQUENCES,
        compile="off",
        optimizer=OptimizerConfig(),
        schedule=ScheduleConfig(peak_lr=1e-4),
    )
    with deterministic():
        times = Workbench(stage, config, device).measure(_SEQUENCES, 1, warm_up=_WARM_UP, timed=_TIMED)
    give_back()
    fastest = min(sum(phases.values()) for phases in times.phases_s)
    layout = Layout(1, bf16=device.precision == "bf16")
    computing = fastest - step_bytes(config, stage, layout) / (bandwidth * row.memory_frac.likely)
    flops = step_flops(config, stage, layout)
    likely = min(1.0, flops / (peak * computing)) if computing > 0 else 1.0
    off = row.compute_frac.likely / row.compute_frac.low
    found = {"low": likely / off, "likely": likely, "high": min(1.0, likely * off)}
    size = count_parameters(config).total / 1e6
    return found, f"likely: measured, fastest of {_TIMED} steps of a decoder of {size:.1f} M parameters; low, high: estimate"


def _bandwidth(device: Device) -> tuple[float, str]:
    """Return the bytes per second, read and written, of copying a large tensor, and how that was found."""
    source = torch.ones(_COPIED_BYTES // 4, device=device.device)
    target = torch.empty_like(source).copy_(source)
    fastest = float("inf")
    for _ in range(_COPIES):
        device.synchronize()
        started = time.perf_counter()
        target.copy_(source)
        device.synchronize()
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * _COPIED_BYTES / fastest, f"measured: fastest of {_COPIES} copies of {_COPIED_BYTES >> 20} MiB"
