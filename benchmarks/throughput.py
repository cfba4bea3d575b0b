"""A model in every program that runs it, side by side: our torch engine, transformers, llama.cpp, OpenVINO and MLX.

PELLUCID_SMOLLM2_GGUF=SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/throughput.py --run runs/pocket

SmolLM2's weights are read from that file and written anew in every format and type; of the run, the exports that it has. Both are
measured as `pellucid throughput` does it. With neither, nothing is measured.

A process that is started from here reads this file first: nothing heavy is imported at the top, so llama.cpp's has no torch in it.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json
from pellucid.recipe.after import GgufType, MlxType, OpenVinoType

GGUF = ("F32", "F16", "Q8_0", "Q4_0", "Q4_K_M")


def write_all(file: Path, folder: Path, types: Sequence[str], others: Sequence[str]) -> list[Path]:
    """Write the file's weights in every format, in folders that are named by the type; return what is to be measured."""
    from pellucid.checkpoint.gguf_file import read_gguf_file
    from pellucid.export.gguf import write_gguf
    from pellucid.export.hf import write_hf
    from pellucid.export.mlx import write_mlx
    from pellucid.export.openvino import write_openvino
    from pellucid.tokenizer.from_gguf import import_gguf

    config, state = read_gguf_file(file)
    tokenizer = import_gguf(file, None)
    write_hf(state, config, tokenizer, folder / "float32")
    for kind in types:
        path = folder / "gguf" / f"model-{kind}.gguf"
        write_gguf(state, config, tokenizer, path, dtype=cast(GgufType, kind), name="SmolLM2")
    found = [folder / "float32", folder / "gguf"] if types else [folder / "float32"]
    for name in others:
        format_, _, kind = name.partition("-")
        path = folder / format_ / kind
        if format_ == "mlx":
            write_mlx(state, config, tokenizer, path, type=cast(MlxType, kind))
        else:
            write_openvino(state, config, tokenizer, path, type=cast(OpenVinoType, kind))
        found.append(path)
    return found


def medians(found: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    return {
        one["name"]: {batch: (figures["decode_tokens_per_s"] or {}).get("median") for batch, figures in one["batches"].items()}
        for one in found["contestants"]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run, for example runs/pocket")
    parser.add_argument("--prompt-tokens", type=int, default=256)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--run-tokens", type=int, nargs=2, default=[128, 64], help="prompt and new tokens with the run")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="of our engine and transformers")
    parser.add_argument("--types", nargs="*", default=list(GGUF), help="GGUF types")
    parser.add_argument("--others", nargs="*", default=["openvino-fp16", "openvino-int4", "mlx-fp16", "mlx-int4"])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    file = Path(os.environ.get("PELLUCID_SMOLLM2_GGUF", ""))
    if not file.is_file() and args.run is None:
        sys.exit("PELLUCID_SMOLLM2_GGUF names no file, and no --run is given")
    from pellucid.stages.throughput import Load, measure

    batches = tuple(args.batches)
    result: dict[str, Any] = {"environment": environment(), "code_version": code_version()}
    if file.is_file():
        load = Load(args.prompt_tokens, args.new_tokens, batches, args.rounds, args.threads, device=args.device)
        with tempfile.TemporaryDirectory() as scratch:
            found = measure(write_all(file, Path(scratch), args.types, args.others), load, served="Q4_0" in args.types)
        result |= {"model": "SmolLM2-135M-Instruct, from Q4_1", "file_sha256": sha256_file(file), "smollm2": found}
        print(medians(found))
    if args.run is not None:
        prompt_tokens, new_tokens = args.run_tokens
        load = Load(prompt_tokens, new_tokens, batches, args.rounds, args.threads, device=args.device)
        result["run"] = measure([args.run], load, served=True)
        print(medians(result["run"]))
    write_json(args.out, result)


if __name__ == "__main__":
    main()
