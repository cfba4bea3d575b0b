"""Time one optimizer update on one core: ours, torch's own Muon, and AdamW fused and not, in ratios to fused AdamW."""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.model.decoder import Decoder, init_weights
from pellucid.optim.optimizer import build_optimizer
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import OptimizerConfig

# The shape of the first peer row in the stack's table: 9.0 M parameters.
SHAPE = ModelConfig(
    vocab_tokens=8192, context_tokens=512, layers=6, hidden=256, heads=4, kv_heads=4, mlp_hidden=704, norm="layernorm",
    norm_bias=False, rotary_frac=0.25, qkv_bias=True, tied_head=False,
)  # fmt: skip


def updates() -> dict[str, Callable[[], None]]:
    model = Decoder(SHAPE)
    init_weights(model, 1)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 1e-3
    ours = {kind: build_optimizer(model, OptimizerConfig(kind=kind)) for kind in ("adamw", "muon")}
    blocks = [parameter for parameter in model.blocks.parameters() if parameter.ndim == 2]
    rest = [parameter for parameter in model.parameters() if all(parameter is not block for block in blocks)]
    theirs = [torch.optim.Muon(blocks, lr=0.0), torch.optim.AdamW(rest, lr=0.0, fused=True)]
    plain = torch.optim.AdamW(model.parameters(), lr=0.0)

    def torch_muon() -> None:
        for part in theirs:
            part.step()

    return {
        "AdamW, fused (ours)": ours["adamw"].step,
        "AdamW, not fused (torch)": plain.step,
        "Muon float32 batched + AdamW (ours)": ours["muon"].step,
        "Muon bfloat16 + AdamW (torch)": torch_muon,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    calls = updates()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(arguments.rounds + 1):
        for name, call in calls.items():
            started = time.process_time()
            call()
            if round_number:
                seconds[name].append(time.process_time() - started)
    base = statistics.median(seconds["AdamW, fused (ours)"])
    write_json(
        arguments.out,
        {
            "command": "python benchmarks/optimizer_step.py",
            "commit": code_version(),
            "hardware": environment(),
            "config": {"shape": SHAPE.model_dump(), "threads": 1, "rounds": arguments.rounds, "clock": "CPU time of the process"},
            "figures": {
                name: {
                    "seconds_median": statistics.median(values),
                    "seconds_min": min(values),
                    "seconds_max": max(values),
                    "times_fused_adamw": statistics.median(values) / base,
                }
                for name, values in seconds.items()
            },
        },
    )
    print(arguments.out.read_text())


if __name__ == "__main__":
    main()
