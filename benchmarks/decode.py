"""Decoding one sequence: tokens a second of torch, with plain weights, by columns and in 8 bits, of transformers and of llama.cpp.

PELLUCID_SMOLLM2_GGUF=SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/decode.py
All run on one thread, in turns within one process, so that they meet the same machine; each turn makes the same number of tokens,
greedily, after the same prompt, and the time of the prompt is not counted. llama.cpp's rates are its own. The divergence of the
8-bit weights from the plain ones is measured on this repository's README.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from pellucid.checkpoint.gguf_file import read_gguf_file
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.generate.columns import ColumnsDecoder
from pellucid.generate.decoding import generate
from pellucid.generate.int8 import Int8Decoder
from pellucid.model.decoder import Decoder
from pellucid.tokenizer.from_gguf import import_gguf

ROOT = Path(__file__).parents[1]
CONTEXT = 512


def our_rate(model: Decoder, ids: list[int], tokens: int) -> float:
    stream = generate(model, ids, max_new_tokens=tokens + 1, temperature=0)
    next(stream)
    before = time.perf_counter()
    made = sum(1 for _ in stream)
    return made / (time.perf_counter() - before)


def their_rate(model: Any, ids: list[int], tokens: int) -> float:
    prompt = torch.tensor([ids])
    spent = []
    for count in (1, tokens + 1):
        before = time.perf_counter()
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
        )
        spent.append(time.perf_counter() - before)
    return tokens / (spent[1] - spent[0])


def llama_rate(runtime: LlamaCpp, ids: list[int], tokens: int) -> float:
    answer = runtime._complete(ids, n_predict=tokens + 1, ignore_eos=True, cache_prompt=False)
    return float(answer["timings"]["predicted_per_second"])


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
    int8, prompt = Int8Decoder(model), ids[: args.prompt]
    ways: dict[str, Callable[[], float]] = {}
    for name, ours in (("torch plain", model), ("torch by columns", ColumnsDecoder(model)), ("torch int8", int8)):
        ways[name] = lambda ours=ours: our_rate(ours, prompt, args.tokens)  # type: ignore[misc]
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
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(args.turns + 1):
            for name, way in ways.items():
                rate = way()
                if turn:  # the first only warms up
                    rates[name].append(rate)
                    print(f"{turn} {name}: {rate:.1f} tok/s", flush=True)
    base = statistics.median(rates["transformers"])
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
        "tokens_per_s": {name: spread(values) for name, values in rates.items()},
        "times_transformers": {name: round(statistics.median(values) / base, 2) for name, values in rates.items()},
        "int8_against_plain": divergence(model, int8, ids[:CONTEXT]),
    }
    write_json(args.out, result)
    print(result["tokens_per_s"], result["times_transformers"], result["int8_against_plain"], sep="\n")


if __name__ == "__main__":
    main()
