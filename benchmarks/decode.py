"""Decoding one sequence: tokens a second of the engine that `pellucid serve` runs, of transformers and of llama.cpp.

PELLUCID_SMOLLM2_GGUF=SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/decode.py
All run on one thread, in turns within one process, so that they meet the same machine; each turn makes the same number of tokens,
greedily, after the same prompt, and the time of the prompt is not counted. The engine runs with the plain decoder, and with the
matrices that each choice of `--weights` gives. llama.cpp's rates are its own. Ratios are of the same turn. The divergence of the
8-bit weights from the plain ones is measured on this repository's README.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pellucid.checkpoint.gguf_file import read_gguf_file
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.generate.engine import Event, Finished, GenerationRequest, Token
from pellucid.generate.sampling import Sampling
from pellucid.generate.torch_engine import TorchEngine
from pellucid.model.decoder import Decoder
from pellucid.stages.served import WEIGHTS, fast_decoder
from pellucid.tokenizer.from_gguf import import_gguf

ROOT = Path(__file__).parents[1]
CONTEXT = 512


class Rate(NamedTuple):
    """Tokens a second by the clock, and by the time that the computing thread computed; None where it is another process's."""

    per_s: float
    per_cpu_s: float | None


def our_rate(engine: TorchEngine, ids: list[int], tokens: int) -> Rate:
    """Of the engine as `pellucid serve` runs it; events come in its own thread, which is the one that computes."""
    at: list[tuple[float, float]] = []
    over = threading.Event()

    def hear(event: Event) -> None:
        if isinstance(event, Token):
            at.append((time.perf_counter(), time.thread_time()))
        elif isinstance(event, Finished):
            over.set()

    engine.submit(GenerationRequest(tuple(ids), tokens + 1, Sampling(0)), hear)
    over.wait()
    assert len(at) == tokens + 1
    clock_s, cpu_s = (last - first for first, last in zip(at[0], at[-1], strict=True))
    return Rate(tokens / clock_s, tokens / cpu_s)


def their_rate(model: Any, ids: list[int], tokens: int) -> Rate:
    prompt = torch.tensor([ids])
    spent = []
    for count in (1, tokens + 1):
        before = time.perf_counter(), time.thread_time()
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
        )
        spent.append((time.perf_counter() - before[0], time.thread_time() - before[1]))
    clock_s, cpu_s = (last - first for first, last in zip(*spent, strict=True))
    return Rate(tokens / clock_s, tokens / cpu_s)


def llama_rate(runtime: LlamaCpp, ids: list[int], tokens: int) -> Rate:
    answer = runtime._complete(ids, n_predict=tokens + 1, ignore_eos=True, cache_prompt=False)
    return Rate(float(answer["timings"]["predicted_per_second"]), None)


def divergence(model: Decoder, fast: Decoder, ids: list[int]) -> dict[str, float]:
    with torch.no_grad():
        ours_TV, fast_TV = (torch.log_softmax(one.logits(one(torch.tensor([ids]))[0]).double(), dim=1) for one in (model, fast))
    kl_T = (ours_TV.exp() * (ours_TV - fast_TV)).sum(1)
    same_T = ours_TV.argmax(1) == fast_TV.argmax(1)
    return {
        "tokens": len(ids),
        "kl_nats_mean": round(float(kl_T.mean()), 5),
        "kl_nats_99": round(float(kl_T.quantile(0.99)), 5),
        "same_likeliest_frac": round(float(same_T.double().mean()), 4),
    }


def spread(values: list[float]) -> dict[str, float]:
    return {key: round(number(values), 2) for key, number in (("median", statistics.median), ("min", min), ("max", max))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=128, help="new tokens in a turn")
    parser.add_argument("--prompt", type=int, default=32, help="tokens of the prompt")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--types", nargs="*", default=["F32", "F16", "Q8_0", "Q4_0"], help="GGUF types")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    file = Path(os.environ.get("PELLUCID_SMOLLM2_GGUF", ""))
    if not file.is_file():
        sys.exit("PELLUCID_SMOLLM2_GGUF names no file")
    torch.set_num_threads(1)
    config, state = read_gguf_file(file)
    tokenizer = import_gguf(file, None)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    ids = [int(id_) for id_ in tokenizer.encode(text)]
    model = Decoder(config)
    model.load_state_dict(state)
    model.eval()
    fast: dict[str, Decoder] = {f"engine {weights}": fast_decoder(model, weights) for weights in WEIGHTS}
    prompt = ids[: args.prompt]
    ways: dict[str, Callable[[], Rate]] = {}
    engines = {name: TorchEngine(ours, slots=4, context_tokens=CONTEXT) for name, ours in {"engine plain": model, **fast}.items()}
    for name, engine in engines.items():
        ways[name] = lambda engine=engine: our_rate(engine, prompt, args.tokens)  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as open_now:
        import transformers

        write_hf(state, config, tokenizer, Path(scratch) / "hf")
        theirs = transformers.AutoModelForCausalLM.from_pretrained(Path(scratch) / "hf", dtype=torch.float32).eval()
        ways["transformers"] = lambda: their_rate(theirs, prompt, args.tokens)
        version = ""
        for kind in args.types:
            path = Path(scratch) / f"{kind}.gguf"
            write_gguf(state, config, tokenizer, path, dtype=kind, name="SmolLM2")
            runtime = open_now.enter_context(LlamaCpp(path, CONTEXT))
            version = runtime.version
            ways[f"llama.cpp {kind}"] = lambda runtime=runtime: llama_rate(runtime, prompt, args.tokens)  # type: ignore[misc]
        rates: dict[str, list[Rate]] = {name: [] for name in ways}
        for turn in range(args.turns + 1):
            for name, way in ways.items():
                rate = way()
                if turn:  # the first only warms up
                    rates[name].append(rate)
                    print(f"{turn} {name}: {rate.per_s:.1f} tok/s, {rate.per_cpu_s or 0:.1f} per CPU second", flush=True)
        for engine in engines.values():
            engine.close()
    theirs_by_turn = rates["transformers"]
    result = {
        "environment": environment(),
        "code_version": code_version(),
        "model": "SmolLM2-135M-Instruct, from Q4_1",
        "threads": 1,
        "transformers_version": transformers.__version__,
        "xllamacpp_version": version,
        "prompt_tokens": len(prompt),
        "new_tokens": args.tokens,
        "turns": args.turns,
        "tokens_per_s": {name: spread([rate.per_s for rate in some]) for name, some in rates.items()},
        "tokens_per_cpu_s": {
            name: spread([rate.per_cpu_s for rate in some if rate.per_cpu_s]) for name, some in rates.items() if some[0].per_cpu_s
        },
        "times_transformers": {
            name: spread([one.per_s / other.per_s for one, other in zip(some, theirs_by_turn, strict=True)])
            for name, some in rates.items()
        },
        "times_transformers_by_cpu_time": {
            name: spread(
                [one.per_cpu_s / (other.per_cpu_s or 1) for one, other in zip(some, theirs_by_turn, strict=True) if one.per_cpu_s]
            )
            for name, some in rates.items()
            if some[0].per_cpu_s
        },
        "int8_against_plain": divergence(model, fast["engine int8"], ids[:CONTEXT]),
    }
    write_json(args.out, result)
    for name in ("tokens_per_s", "times_transformers", "times_transformers_by_cpu_time", "int8_against_plain"):
        print(name, result[name])


if __name__ == "__main__":
    main()
