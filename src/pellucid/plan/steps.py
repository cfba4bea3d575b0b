"""The forecast of one stage's step, as the plan holds it: seconds between bounds, what they are spent on, what they achieve."""

from typing import Any

from pellucid.plan.cost import CASES
from pellucid.plan.devices import Device
from pellucid.plan.flops import flops_per_token
from pellucid.plan.roofline import Layout, step_bytes, step_flops, step_parts
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig

__all__ = ["step_row"]


def step_row(
    config: ModelConfig, stage: TrainStageConfig, device: Device, layout: Layout, achieved_frac: float | None = None
) -> dict[str, Any]:
    """Return the step: `s`, `tokens_per_s`, `flops_per_device_s` (with attention) and MFU by case, `parts_s`, and `bound`.

    Cases are named by time: `low` is the shortest step and the highest speed. `achieved_frac`, the share of the peak that somebody
    measured, counted with attention, is then what is likely; the bounds move only where it lies outside.
    """
    parts = step_parts(config, stage, device, layout)
    seconds = {case: parts[case].total_s for case in CASES}
    likely = parts["likely"]
    shares = {
        "compute": likely.compute_s,
        "memory": likely.memory_s,
        "communication": likely.communication_s,
        "communication_hidden": likely.hidden_s,
    }
    tokens = stage.rows_per_example * stage.batch_tokens
    per_token = flops_per_token(config, stage.seq_tokens, stage.adapter)
    flops, needed = (tokens / layout.devices * per_token[name] for name in ("with_attention", "matmul"))
    if achieved_frac is not None:
        measured = flops / (device.peak_flops * achieved_frac)
        shares = {name: value * measured / seconds["likely"] for name, value in shares.items()}
        seconds = {"low": min(seconds["low"], measured), "likely": measured, "high": max(seconds["high"], measured)}
    return {
        "s": seconds,
        "tokens_per_s": {case: tokens / seconds[case] for case in CASES},
        "flops_per_device_s": {case: flops / seconds[case] for case in CASES},
        "mfu": {case: needed / seconds[case] / device.peak_flops for case in CASES},
        "mfu_with_attention": {case: flops / seconds[case] / device.peak_flops for case in CASES},
        "parts_s": shares,
        "bound": likely.bound,
        "flops": step_flops(config, stage, layout),
        "bytes_moved": step_bytes(config, stage, layout),
        "given_by": "the recipe's achieved_flops_frac" if achieved_frac is not None else "roofline",
    }
