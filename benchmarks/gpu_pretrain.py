"""Pretraining speed of the two large recipes on one GPU: tokens per second, MFU and memory by size of micro-batch.

Steps go through the training loop itself (`pellucid.train.measure`): float32 weights, bf16 products, clipping, fused AdamW, blocks
compiled one by one, deterministic algorithms as in every run of `pellucid train`. Micro-batches double until memory is full; a step
has as many of them as make up --step-tokens. A peer is measured beside it in the same process: litgpt where it can be imported,
else transformers, compiled as a whole and otherwise set up alike (float32 weights, bf16 autocast, fused AdamW, clipping).

    python benchmarks/gpu_pretrain.py                                     # both models, under nine minutes, needs a GPU
    python benchmarks/gpu_pretrain.py --models stable-lm-2-1.6b --attention document --peer none --profile
    python benchmarks/gpu_pretrain.py --device cpu --tiny                 # the whole script on any machine, at toy sizes

From a checkout on a machine where nothing can be installed: PYTHONPATH=src, with torch and numpy; `bare/` stands in for the rest.
The file is written after every row. Rows of other models and settings that it holds already are kept.
"""

import argparse
import gc
import importlib.util
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE / "bare"))  # at the end: what is installed is found before

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from pellucid.core.environment import code_version, environment  # noqa: E402
from pellucid.plan.flops import flops_per_token  # noqa: E402
from pellucid.plan.memory import rank_memory  # noqa: E402
from pellucid.plan.parameters import count_parameters  # noqa: E402
from pellucid.recipe.model import ModelConfig  # noqa: E402
from pellucid.recipe.training import ScheduleConfig, TrainStageConfig  # noqa: E402
from pellucid.train.device import Device, deterministic, pick_device  # noqa: E402
from pellucid.train.measure import StepTimes, Workbench  # noqa: E402

PRESETS = HERE.parent / "src" / "pellucid" / "recipe" / "presets"
SEQ_TOKENS = {"stable-lm-2-1.6b": 4096, "tinyllama-1.1b": 2048}
TINY = {"vocab_tokens": 512, "context_tokens": 64, "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "mlp_hidden": 96}
WARM_UP, TIMED = 2, 5
OURS = "pellucid"


def read_preset(name: str, tiny: bool) -> ModelConfig:
    """Return a preset without a YAML reader: presets are flat."""
    values: dict[str, Any] = {}
    for line in (PRESETS / f"{name}.yaml").read_text().splitlines():
        key, _, value = line.partition("#")[0].partition(":")
        if value.strip():
            try:
                values[key.strip()] = json.loads(value)
            except json.JSONDecodeError:
                values[key.strip()] = value.strip()
    return ModelConfig(**{**values, **(TINY if tiny else {})})


@dataclass
class Run:
    """One model under one attention: what is measured, and what has been found so far."""

    model: str
    config: ModelConfig
    seq_tokens: int
    device: Device
    arguments: argparse.Namespace
    peak_flops: float
    deadline: float
    save: Callable[["Run"], None]
    rows: list[dict[str, Any]] = field(default_factory=list)
    profile: list[dict[str, Any]] = field(default_factory=list)

    def stage(self, micro_seqs: int) -> TrainStageConfig:
        """Return the stage, with the optimizer of both recipes, which is the default."""
        return TrainStageConfig(
            name="pretrain", length_tokens=self.seq_tokens, batch_tokens=self.seq_tokens, seq_tokens=self.seq_tokens,
            micro_seqs=micro_seqs, attention=self.arguments.attention, precision="bf16", compile=self.arguments.compile,
            schedule=ScheduleConfig(peak_lr=1e-3),
        )  # fmt: skip

    def micro_steps(self, micro_seqs: int) -> int:
        return max(1, self.arguments.step_tokens // (micro_seqs * self.seq_tokens))

    def exactness(self) -> AbstractContextManager[None]:
        return deterministic() if self.arguments.deterministic == "on" else nullcontext()

    def time_for_another(self, last_s: float) -> bool:
        """Tell whether a row of twice the work would end in time: sizes double, compiling takes as long for each."""
        return time.monotonic() + 1.5 * last_s < self.deadline

    def book(self, contestant: str, micro_seqs: int, outcome: str, times: StepTimes | None = None, **more: Any) -> None:
        """Add a row, print it and write the file."""
        micro_steps = self.micro_steps(micro_seqs)
        tokens = micro_seqs * micro_steps * self.seq_tokens
        row = {"contestant": contestant, "micro_seqs": micro_seqs, "micro_steps": micro_steps, "outcome": outcome, **more}
        if times is not None:
            steps = [sum(phases.values()) for phases in times.phases_s]
            speed = tokens / statistics.median(steps)
            flops = flops_per_token(self.config, self.seq_tokens)
            row |= {
                "tokens_per_s": round(speed, 1),
                "mfu": round(speed * flops["with_attention"] / self.peak_flops, 4),
                "mfu_6n": round(speed * flops["six_n"] / self.peak_flops, 4),
                "mfu_matmul": round(speed * flops["matmul"] / self.peak_flops, 4),
                "step_s": {"median": statistics.median(steps), "min": min(steps), "max": max(steps)},
                "phases_s": times.median_phases_s(),
                "memory_bytes": times.memory_bytes,
            }
        self.rows.append(row)
        self.save(self)
        print(self.model, self.arguments.attention, line_of(row), flush=True)

    def best(self, contestant: str) -> dict[str, Any] | None:
        """Return the fastest row of one contestant."""
        rows = [row for row in self.rows if row["contestant"] == contestant and "tokens_per_s" in row]
        return max(rows, key=lambda row: row["tokens_per_s"], default=None)

    def as_json(self) -> dict[str, Any]:
        stage = self.stage(1)
        best = {name: self.best(name) for name in dict.fromkeys(row["contestant"] for row in self.rows)}
        ours = best.get(OURS)
        ratios = {
            name: round(ours["tokens_per_s"] / row["tokens_per_s"], 3)
            for name, row in best.items()
            if ours and row and name != OURS
        }
        return {
            "command": " ".join(["python", "benchmarks/gpu_pretrain.py", *sys.argv[1:]]),
            "code_version": code_version(), "environment": machine(self.device), "model": self.model,
            "parameters": count_parameters(self.config).total, "seq_tokens": self.seq_tokens, "attention": stage.attention,
            "precision": self.device.precision, "deterministic": self.arguments.deterministic == "on",
            "peak_flops": self.peak_flops, "flops_per_token": flops_per_token(self.config, self.seq_tokens),
            "steps": {"warm_up": WARM_UP, "timed": TIMED}, "best": best, "speed_over_peer": ratios,
            "rows": self.rows, "kernels_of_a_step": self.profile,
        }  # fmt: skip


def line_of(row: dict[str, Any]) -> str:
    head = f"{row['contestant']:12s} micro {row['micro_seqs']:3d} x {row['micro_steps']:<3d}"
    if "tokens_per_s" not in row:
        return f"{head} {row['outcome']}"
    phases = "  ".join(f"{phase} {seconds:.3f}" for phase, seconds in row["phases_s"].items())
    return (
        f"{head} {row['tokens_per_s']:9.0f} tok/s  MFU {row['mfu']:.1%} (6N {row['mfu_6n']:.1%}, matmul {row['mfu_matmul']:.1%})  "
        f"{row['memory_bytes'] / 2**30:.1f} GiB  {'compiled' if row['compiled'] else 'eager'}  {phases} s"
    )


def machine(device: Device) -> dict[str, Any]:
    facts = {**environment(), "torch": torch.__version__, "cuda": torch.version.cuda}
    if device.device.type == "cuda":
        facts |= {"gpu": torch.cuda.get_device_name(device.device), "cudnn": torch.backends.cudnn.version()}
    return facts


def sizes(run: Run) -> Iterator[int]:
    """1, 2, 4, … without end on a GPU, which says itself when it is full."""
    size = 1
    while run.device.device.type == "cuda" or size <= 4:
        yield size
        size *= 2


def attempt(run: Run, contestant: str, micro_seqs: int, measure: Callable[[], tuple[StepTimes, dict[str, Any]]]) -> bool:
    """Measure one row and book it, whatever becomes of it; tell whether it went well."""
    times, more, outcome = None, {}, "measured"
    started = time.monotonic()
    try:
        times, more = measure()
    except torch.OutOfMemoryError:
        outcome = "out of memory"
    except Exception as error:  # a row that fails must not cost the others
        outcome = f"failed: {type(error).__name__}: {str(error)[:500]}"
        traceback.print_exc()
    # The exception is gone by now, and with it the frames that held tensors.
    gc.collect()
    run.book(contestant, micro_seqs, outcome, times, took_s=round(time.monotonic() - started, 1), **more)
    return times is not None


def release() -> None:
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure_ours(run: Run) -> None:
    """Sweep micro-batches through the training loop."""
    with run.exactness():
        bench: list[Workbench] = []

        def measure(micro_seqs: int) -> tuple[StepTimes, dict[str, Any]]:
            if not bench:
                bench.append(Workbench(run.stage(1), run.config, run.device))
            times = bench[0].measure(micro_seqs, run.micro_steps(micro_seqs), warm_up=WARM_UP, timed=TIMED)
            forecast = rank_memory(run.config, run.stage(micro_seqs), 1, bf16=True)["none"]["total"]
            return times, {"compiled": bench[0].compiled, "forecast_bytes": forecast}

        for micro_seqs in sizes(run):
            if run.rows and not run.time_for_another(run.rows[-1]["took_s"]):
                run.book(OURS, micro_seqs, "not tried: no time left")
                break
            if not attempt(run, OURS, micro_seqs, lambda size=micro_seqs: measure(size)):
                break


def profile_ours(run: Run) -> None:
    """Note which kernels one micro-batch of the fastest size spends its time in, and one update."""
    best = run.best(OURS)
    if best is None:
        return
    on_gpu = run.device.device.type == "cuda"
    activities = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if on_gpu else [])]
    try:
        with run.exactness():
            bench = Workbench(run.stage(1), run.config, run.device)
            bench.measure(best["micro_seqs"], 1, warm_up=WARM_UP, timed=1)
            with torch.profiler.profile(activities=activities) as profiler:
                bench.measure(best["micro_seqs"], 1, warm_up=0, timed=1)
    except Exception as error:
        print(f"no profile: {type(error).__name__}: {error}", flush=True)
        return
    attribute, kind = ("self_device_time_total", "CUDA") if on_gpu else ("self_cpu_time_total", "CPU")
    # What launches a kernel has its time too, and named ranges have their kernels'.
    events = [event for event in profiler.key_averages() if event.device_type.name == kind and not event.is_user_annotation]
    total = sum(getattr(event, attribute) for event in events) or 1
    for event in sorted(events, key=lambda event: getattr(event, attribute), reverse=True)[:30]:
        microseconds = getattr(event, attribute)
        run.profile.append(
            {"kernel": event.key[:160], "calls": event.count, "ms": microseconds / 1000, "share": microseconds / total}
        )
        print(f"  {microseconds / total:6.1%} {microseconds / 1000:9.2f} ms {event.count:5d} x {event.key[:90]}", flush=True)
    run.save(run)


def peer_named(asked: str) -> str:
    """Return the peer to measure, or nothing, with a line that says why."""
    names = {"auto": ("litgpt", "transformers"), "none": ()}.get(asked, (asked,))
    for name in names:
        if importlib.util.find_spec(name) is not None:
            return name
    if names:
        print(f"no peer: {' and '.join(names)} cannot be imported", flush=True)
    return ""


def transformers_model(config: ModelConfig, seq_tokens: int) -> tuple[torch.nn.Module, Any]:
    from transformers import LlamaConfig, LlamaForCausalLM, StableLmConfig, StableLmForCausalLM

    rope = {"rope_type": "default", "rope_theta": config.rotary_base, "partial_rotary_factor": config.rotary_frac}
    common = {
        "vocab_size": config.vocab_tokens, "max_position_embeddings": config.context_tokens, "hidden_size": config.hidden,
        "num_hidden_layers": config.layers, "num_attention_heads": config.heads, "num_key_value_heads": config.kv_heads,
        "intermediate_size": config.mlp_hidden, "tie_word_embeddings": config.tied_head, "use_cache": False,
    }  # fmt: skip
    if config.norm == "layernorm":
        stable = StableLmConfig(**common, rope_parameters=rope, use_qkv_bias=config.qkv_bias, layer_norm_eps=config.norm_eps)
        model = StableLmForCausalLM._from_config(stable, attn_implementation="sdpa")
    else:
        rope.pop("partial_rotary_factor")
        model = LlamaForCausalLM._from_config(
            LlamaConfig(**common, rope_parameters=rope, rms_norm_eps=config.norm_eps), attn_implementation="sdpa"
        )
    # With labels the loss is part of what is compiled, as transformers' own Trainer has it.
    return model, lambda forward, ids_BT, targets_BT: forward(input_ids=ids_BT, labels=ids_BT).loss


def litgpt_model(config: ModelConfig, seq_tokens: int) -> tuple[torch.nn.Module, Any]:
    from litgpt.config import Config
    from litgpt.model import GPT

    model = GPT(
        Config(
            block_size=seq_tokens, vocab_size=config.vocab_tokens, padded_vocab_size=config.vocab_tokens, n_layer=config.layers,
            n_head=config.heads, n_query_groups=config.kv_heads, n_embd=config.hidden, intermediate_size=config.mlp_hidden,
            rotary_percentage=config.rotary_frac, parallel_residual=False, bias=False, attn_bias=config.qkv_bias,
            norm_class_name="LayerNorm" if config.norm == "layernorm" else "RMSNorm", norm_eps=config.norm_eps,
            mlp_class_name="LLaMAMLP",
        )
    )  # fmt: skip
    return model, lambda forward, ids_BT, targets_BT: F.cross_entropy(forward(ids_BT).flatten(0, 1), targets_BT.flatten())


def peer_times(run: Run, name: str, micro_seqs: int) -> tuple[StepTimes, dict[str, Any]]:
    """Time a peer's steps: accumulation, clipping and AdamW as ours, compiled as a whole."""
    device, on_gpu = run.device, run.device.device.type == "cuda"
    torch.manual_seed(0)
    with device.device:
        model, loss_of = {"transformers": transformers_model, "litgpt": litgpt_model}[name](run.config, run.seq_tokens)
    model.to(device.device).train()
    compiled = run.arguments.compile != "off" and (on_gpu or run.arguments.compile == "on")
    forward = torch.compile(model, dynamic=False) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-7, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    micro_steps = run.micro_steps(micro_seqs)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device.device)
    phases_s = []
    for _ in range(WARM_UP + TIMED):
        device.synchronize()
        begin = time.perf_counter()
        for _ in range(micro_steps):
            tokens_BT = torch.randint(run.config.vocab_tokens, (micro_seqs, run.seq_tokens + 1)).to(
                device.device, non_blocking=True
            )
            with device.autocast():
                loss = loss_of(forward, tokens_BT[:, :-1].contiguous(), tokens_BT[:, 1:].contiguous())
            (loss / micro_steps).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        device.synchronize()
        middle = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad()
        device.synchronize()
        phases_s.append({"forward_backward": middle - begin, "optimizer": time.perf_counter() - middle})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return StepTimes(micro_steps, tuple(phases_s[WARM_UP:]), device.memory_bytes()), {
        "compiled": compiled,
        "parameters": parameters,
    }


def measure_peer(run: Run, name: str) -> None:
    """Measure a peer at our fastest micro-batch, or the half, quarter, … that fits, and while there is time at half of that."""
    ours = run.best(OURS)
    micro_seqs, fitted = ours["micro_seqs"] if ours else 1, 0
    while micro_seqs >= 1 and fitted < 2:
        peer_rows = [row for row in run.rows if row["contestant"] == name]
        if peer_rows and not run.time_for_another(peer_rows[-1]["took_s"] / 1.5):
            run.book(name, micro_seqs, "not tried: no time left")
            return
        fitted += attempt(run, name, micro_seqs, lambda size=micro_seqs: peer_times(run, name, size))
        release()
        if run.rows[-1]["outcome"].startswith("failed"):
            return
        micro_seqs //= 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=SEQ_TOKENS, default=list(SEQ_TOKENS))
    parser.add_argument(
        "--attention", choices=("causal", "document"), default="causal", help="document: as Stable LM 2's recipe has it"
    )
    parser.add_argument("--compile", choices=("auto", "on", "off"), default="auto", help="auto: on a GPU")
    parser.add_argument("--deterministic", choices=("on", "off"), default="on", help="on: as training always is")
    parser.add_argument("--minutes", type=float, default=8.0, help="in all; a row that might end later is not begun")
    parser.add_argument("--step-tokens", type=int, default=65_536, help="tokens of an optimizer step, at least")
    parser.add_argument("--peer", choices=("auto", "litgpt", "transformers", "none"), default="auto")
    parser.add_argument("--profile", action="store_true", help="also list the kernels of a step")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, to see that everything runs")
    parser.add_argument("--out", type=Path, help="default: gpu_pretrain.json beside this script, nowhere with --tiny")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.step_tokens = min(arguments.step_tokens, 256)
    device = Device(torch.device("cpu"), "bf16") if arguments.device == "cpu" else pick_device("bf16")
    if device.device.type == "cpu" and not arguments.tiny:
        print("no GPU here: nothing measured (--device cpu --tiny checks the script)")
        return
    out = arguments.out or (None if arguments.tiny else Path(__file__).with_suffix(".json"))

    def save(run: Run) -> None:
        if out is None:
            return
        report = json.loads(out.read_text()) if out.is_file() else {}
        settings = [run.model, run.arguments.attention, f"compile-{run.arguments.compile}"]
        settings += ["nondeterministic"] if run.arguments.deterministic == "off" else []
        report["/".join(settings)] = run.as_json()
        part = out.with_name(f".{out.name}.part")
        part.write_text(json.dumps(report, indent=1) + "\n")
        os.replace(part, out)  # noqa: PTH105

    try:
        peak, source = device.peak_flops()
    except ImportError:  # the table of GPUs is YAML, for which a machine with torch alone has no reader
        peak, source = device.measured_flops()
    print(f"peak {peak / 1e12:.1f} TFLOP/s ({source}); torch {torch.__version__}", flush=True)
    peer = peer_named(arguments.peer)
    started = time.monotonic()
    for number, name in enumerate(arguments.models, start=1):
        seq_tokens = 32 if arguments.tiny else SEQ_TOKENS[name]
        begin = time.monotonic()
        end = started + 60 * arguments.minutes * number / len(arguments.models)
        run = Run(name, read_preset(name, arguments.tiny), seq_tokens, device, arguments, peak, end, save)
        if peer:
            run.deadline = begin + 0.6 * (end - begin)
        measure_ours(run)
        release()
        if run.rows[-1]["outcome"].startswith("failed") and run.best(OURS) is None and arguments.compile != "off":
            # No compiler, most likely: better an eager figure than none.
            arguments.compile = "off"
            measure_ours(run)
            release()
        if arguments.profile:
            profile_ours(run)
            release()
        run.deadline = end
        if peer:
            measure_peer(run, peer)


if __name__ == "__main__":
    main()
