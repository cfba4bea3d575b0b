"""Time one training step of the Stable LM 2 shape (9.0 M parameters, 8 x 512 tokens, fp32, AdamW) beside its peers.

Every contestant runs in a process of its own and is asked for one step at a time, round robin, so that all of them meet the same
machine: quote ratios. A step is forward, backward, clipping to norm 1 and AdamW; losses are next-token cross-entropy of the same
random ids. Then the same with longer sequences of several documents, attention confined to each: with the peer that can do so.
Then, in the same way, our own step at growing contexts, documents, vocabularies and widths: how its time scales.

    python benchmarks/cpu_pretrain.py                                     # needs pellucid[hf]
    python benchmarks/cpu_pretrain.py --litgpt-python VENV/bin/python     # an environment of litgpt's own
    python benchmarks/cpu_pretrain.py --contestants --rounds 5            # the scaling alone

Peers are run as their own users would: torch.compile of the module, fused AdamW, foreach clipping. nanochat's model (written down
again in `nanochat_recipe.py`) has the width and depth of the others here, 8.9 M parameters, and AdamW for all of them.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SHAPE = {"vocab": 8192, "context": 512, "hidden": 256, "layers": 6, "heads": 4, "mlp": 704, "batch": 8}
DOCUMENTS = {"context": 2048, "batch": 2, "document": 300}
"""What changes in the shape to have sequences of several documents of so many tokens."""
FAMILIES = ("pellucid", "transformers", "litgpt", "nanochat")
CONTESTANTS = tuple(family + compiled for family in FAMILIES for compiled in ("", "-compiled"))
WITH_DOCUMENTS = ("pellucid", "transformers", "transformers-compiled")
# What grows, and how; a step has 2048 tokens at every point, so that times of one series differ by nothing else.
SCALING = {
    "seq_tokens": [{"context": tokens, "batch": 2048 // tokens} for tokens in (128, 256, 512, 1024, 2048)],
    "document_tokens": [{"context": 2048, "batch": 1, "document": tokens} for tokens in (32, 128, 512, 2048)],
    "vocab_tokens": [{"vocab": vocab, "batch": 4} for vocab in (2048, 8192, 32_768, 100_352)],
    "parameters": [{"hidden": 64 * heads, "heads": heads, "mlp": 176 * heads, "batch": 4} for heads in (2, 4, 6, 8, 12)],
}


def pellucid_step(ids: Any, compiled: bool) -> Any:
    import torch

    from pellucid.kernels.attention import Documents
    from pellucid.model.decoder import Decoder, init_weights
    from pellucid.recipe.model import ModelConfig
    from pellucid.train.allocation import keep_freed_memory
    from pellucid.train.compilation import compile_model
    from pellucid.train.loss import token_loss

    keep_freed_memory()
    config = ModelConfig(
        vocab_tokens=SHAPE["vocab"], context_tokens=SHAPE["context"], hidden=SHAPE["hidden"], layers=SHAPE["layers"],
        heads=SHAPE["heads"], kv_heads=SHAPE["heads"], mlp_hidden=SHAPE["mlp"], norm="layernorm", norm_bias=True,
        rotary_frac=0.25, qkv_bias=True, tied_head=False,
    )  # fmt: skip
    model = Decoder(config)
    init_weights(model, 0)
    compile_model(model, "on" if compiled else "off", torch.device("cpu"))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    documents = Documents.of(document_numbers(inputs)) if "document" in SHAPE else None

    def loss() -> torch.Tensor:
        return token_loss(model(inputs, documents=documents), model.head_weight, targets).loss_sum / targets.numel()

    return model, loss


def transformers_step(ids: Any, compiled: bool) -> Any:
    import torch
    import torch.nn.functional as F
    from transformers import StableLmConfig, StableLmForCausalLM

    config = StableLmConfig(
        vocab_size=SHAPE["vocab"], max_position_embeddings=SHAPE["context"], hidden_size=SHAPE["hidden"],
        num_hidden_layers=SHAPE["layers"], num_attention_heads=SHAPE["heads"], num_key_value_heads=SHAPE["heads"],
        intermediate_size=SHAPE["mlp"], use_qkv_bias=True, tie_word_embeddings=False, use_cache=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
    )  # fmt: skip
    model = StableLmForCausalLM._from_config(config, attn_implementation="sdpa").train()
    forward = torch.compile(model) if compiled else model
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    # Positions that begin again are how transformers is told of documents; it makes a mask of them.
    positions = torch.arange(inputs.shape[1])[None] % SHAPE["document"] if "document" in SHAPE else None

    def loss() -> torch.Tensor:
        return F.cross_entropy(forward(input_ids=inputs, position_ids=positions).logits.flatten(0, 1), targets.flatten())

    return model, loss


def document_numbers(inputs: Any) -> Any:
    import torch

    return (torch.arange(inputs.shape[1]) // SHAPE["document"]).repeat(len(inputs), 1)


def litgpt_step(ids: Any, compiled: bool) -> Any:
    import torch
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    config = Config(
        block_size=SHAPE["context"], vocab_size=SHAPE["vocab"], padded_vocab_size=SHAPE["vocab"], n_layer=SHAPE["layers"],
        n_head=SHAPE["heads"], n_query_groups=SHAPE["heads"], n_embd=SHAPE["hidden"], intermediate_size=SHAPE["mlp"],
        rotary_percentage=0.25, parallel_residual=False, bias=False, attn_bias=True, norm_class_name="LayerNorm",
        mlp_class_name="LLaMAMLP",
    )  # fmt: skip
    model = GPT(config)
    forward = torch.compile(model) if compiled else model
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def loss() -> torch.Tensor:
        return chunked_cross_entropy(forward(inputs), targets, chunk_size=0)

    return model, loss


def nanochat_step(ids: Any, compiled: bool) -> Any:
    import torch
    import torch.nn.functional as F
    from nanochat_recipe import Nanochat

    model = Nanochat(SHAPE["vocab"], SHAPE["layers"], SHAPE["context"], SHAPE["hidden"])
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def loss_of(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(model.logits(model(inputs)).flatten(0, 1), targets.flatten())

    forward = torch.compile(loss_of, dynamic=False) if compiled else loss_of
    return model, lambda: forward(inputs, targets)


def serve(name: str, threads: int) -> None:
    """Warm up, report the parameters, then make one step for every line on standard input and answer with its times."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    ids = torch.randint(SHAPE["vocab"], (SHAPE["batch"], SHAPE["context"] + 1))
    family, _, compiled = name.partition("-")
    steps = {"pellucid": pellucid_step, "transformers": transformers_step, "litgpt": litgpt_step, "nanochat": nanochat_step}
    make = steps[family]
    model, loss = make(ids, bool(compiled))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step() -> float:
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(value)

    losses = [step() for _ in range(3)]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    answer = {"parameters": parameters, "warmup_losses": losses, "torch": torch.__version__}
    print("READY " + json.dumps(answer), flush=True)
    for _ in sys.stdin:
        wall, before = time.perf_counter(), os.times()
        step()
        after = os.times()
        cpu = after.user - before.user + after.system - before.system
        print("STEP " + json.dumps({"wall_s": time.perf_counter() - wall, "cpu_s": cpu}), flush=True)


class Contestant:
    """One process that makes a step when asked."""

    def __init__(self, name: str, threads: int, python: str, shape: dict[str, int]) -> None:
        # Passive waiting, as `pellucid` itself sets it and for all alike: spinning threads ruin each other on a shared machine.
        settings = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        environment = os.environ | settings
        self.name, self.steps = name, []
        self.tokens = shape["batch"] * shape["context"]
        self._process = subprocess.Popen(
            [python, __file__, "--serve", name, "--threads", str(threads), "--shape", json.dumps(shape)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.about = self._answer("READY ")

    def step(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.steps.append(self._answer("STEP "))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self, mark: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(mark):
                answer: dict[str, Any] = json.loads(line[len(mark) :])
                return answer
        raise SystemExit(f"{self.name} stopped: run `{sys.executable} {__file__} --serve {self.name} --threads 1` to see why")


def run_in_turn(contestants: list[Contestant], rounds: int) -> list[dict[str, Any]]:
    """Ask each for one step, again and again; return what they said of themselves, and medians, one row each."""
    for _ in range(rounds):
        for contestant in contestants:
            contestant.step()
    rows = []
    for contestant in contestants:
        contestant.close()
        figures = {}
        for kind in ("wall_s", "cpu_s"):
            values = sorted(step[kind] for step in contestant.steps)
            figures[kind] = {"median": statistics.median(values), "min": values[0], "max": values[-1]}
        speed = {kind: round(contestant.tokens / figures[f"{kind}_s"]["median"], 1) for kind in ("wall", "cpu")}
        rows.append({**contestant.about, **figures, "tokens_per_s": speed})
    return rows


def compare(result: dict[str, Any], kind: str) -> dict[str, Any]:
    """Our speed over each peer's; the last figure is over the fastest of them."""
    ours = [name for name in result if name.startswith("pellucid")]
    peers = [name for name in result if name not in ours]
    if not ours or not peers:
        return {}
    best, fastest = (min(names, key=lambda name: result[name][kind]["median"]) for names in (ours, peers))
    ratios = {name: round(result[name][kind]["median"] / result[best][kind]["median"], 3) for name in peers}
    return {"ours": best, "over": ratios, "fastest_peer": fastest, "over_fastest": ratios[fastest]}


def scaling(threads: int, rounds: int) -> dict[str, Any]:
    """Our step's time over contexts, vocabularies and parameters, with the slope of log time over log size."""
    series = {}
    for what, changes in SCALING.items():
        shapes = [{**SHAPE, **change} for change in changes]
        rows = run_in_turn([Contestant("pellucid", threads, sys.executable, shape) for shape in shapes], rounds)
        key = {"seq_tokens": "context", "document_tokens": "document", "vocab_tokens": "vocab"}.get(what)
        sizes = [shape[key] if key else row["parameters"] for shape, row in zip(shapes, rows, strict=True)]
        points = [{"size": size, "shape": shape, **row} for size, shape, row in zip(sizes, shapes, rows, strict=True)]
        found: dict[str, Any] = {"points": points}
        for kind in ("wall_s", "cpu_s"):
            seconds = [row[kind]["median"] for row in rows]
            whole, last = slope(sizes, seconds), slope(sizes[-2:], seconds[-2:])
            found[f"slope_{kind}"] = {"all_points": round(whole, 3), "last_two": round(last, 3)}
        series[what] = found
        told = ", ".join(f"{size}: {row['cpu_s']['median']:.3f} s" for size, row in zip(sizes, rows, strict=True))
        print(f"{threads} threads  {what}  {told}  slope {found['slope_cpu_s']} by CPU time", flush=True)
    return series


def slope(sizes: list[float], seconds: list[float]) -> float:
    """Return the least-squares slope of log seconds over log sizes."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in seconds]
    return statistics.linear_regression(x, y).slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="steps of each contestant, in turn")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--contestants", nargs="*", choices=CONTESTANTS, help="default: all that can run; none given: none")
    parser.add_argument("--no-scaling", action="store_true", help="leave out how our own step scales")
    parser.add_argument(
        "--litgpt-python", default="", help="interpreter of an environment that has litgpt 0.5.13 and the same torch"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--serve", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        SHAPE.update(arguments.shape or {})
        serve(arguments.serve, arguments.threads[0])
        return
    names = arguments.contestants
    if names is None:
        names = [name for name in CONTESTANTS if arguments.litgpt_python or not name.startswith("litgpt")]

    from pellucid.core.environment import code_version, environment

    report: dict[str, Any] = {
        "what": "one training step: forward, backward, clip, AdamW; medians over interleaved rounds",
        "command": "python benchmarks/cpu_pretrain.py " + " ".join(sys.argv[1:]).replace(arguments.litgpt_python or "\0", "PYTHON"),
        "code_version": code_version(), "environment": environment(), "shape": SHAPE,
        "tokens_per_step": SHAPE["batch"] * SHAPE["context"], "omp_wait_policy": "PASSIVE", "rounds": arguments.rounds,
        "threads": {}, "documents": {}, "documents_shape": DOCUMENTS, "scaling": {},
    }  # fmt: skip
    pythons = {name: arguments.litgpt_python if name.startswith("litgpt") else sys.executable for name in names}
    for threads in arguments.threads:
        for what, shape in {"threads": SHAPE, "documents": SHAPE | DOCUMENTS}.items():
            present = [name for name in names if what == "threads" or name in WITH_DOCUMENTS]
            contestants = [Contestant(name, threads, pythons[name], shape) for name in present]
            result = dict(zip(present, run_in_turn(contestants, arguments.rounds), strict=True))
            compared = {"cpu": compare(result, "cpu_s"), "wall": compare(result, "wall_s")}
            report[what][str(threads)] = {"contestants": result, "speed_over_peers": compared}
            print({"threads": "causal", "documents": f"documents of {DOCUMENTS['document']} tokens"}[what])
            for name, row in result.items():
                speed = row["tokens_per_s"]
                by_cpu = speed["cpu"] * threads
                print(f"{threads} threads  {name:24s} {speed['wall']:7.0f} tok/s wall  {by_cpu:7.0f} tok/s by CPU time")
            print(json.dumps(compared), flush=True)
        if not arguments.no_scaling:
            report["scaling"][str(threads)] = scaling(threads, arguments.rounds)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
