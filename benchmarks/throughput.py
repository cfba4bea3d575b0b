"""A model in every program that runs it, side by side: our torch engine, transformers, llama.cpp, OpenVINO and MLX.

PELLUCID_SMOLLM2_GGUF=SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/throughput.py --run runs/pocket

SmolLM2's weights are read from that file and written anew in every format and type; of the run, the exports that it has. Both are
measured as `pellucid throughput` does it. With neither, nothing is measured. MLX reads a token in seconds where it has no GPU: it
gets a shorter load, with others beside it as a yardstick. Q4_0 and F16 of llama.cpp are measured once more by themselves, in more
rounds, since their ratio is one of the figures that the report of Stable LM 2 gives.

A process that is started from here reads this file first: nothing heavy is imported at the top, so llama.cpp's has no torch in it.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, get_args

from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json
from pellucid.recipe.after import GgufType, MlxType, OpenVinoType

GGUF: tuple[GgufType, ...] = ("F32", "F16", "Q8_0", "Q4_0", "Q4_K_M")


def write_all(file: Path, folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the file's weights in every format, as the export stage does; return what all run, and what MLX runs."""
    from pellucid.checkpoint.gguf_file import read_gguf_file
    from pellucid.recipe.after import ExportConfig
    from pellucid.stages.formats import Source, planned_exports, write_export
    from pellucid.tokenizer.from_gguf import import_gguf

    config, state = read_gguf_file(file)
    source = Source(state, config, import_gguf(file, None), "SmolLM2")
    asked = ExportConfig(
        formats=("hf", "gguf", "openvino", "mlx"),
        gguf_types=GGUF,
        openvino_types=get_args(OpenVinoType),
        mlx_types=get_args(MlxType),
    )
    everyone, mlx = [folder / "hf", folder / "gguf"], []
    for one in planned_exports(asked):
        write_export(one, folder / one.place, source)
        if one.format == "openvino":
            everyone.append(folder / one.place)
        elif one.format == "mlx":
            mlx.append(folder / one.place)
    return everyone, mlx


def medians(found: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    return {
        one["name"]: {batch: (figures["decode_tokens_per_s"] or {}).get("median") for batch, figures in one["batches"].items()}
        for one in found["contestants"]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run, for example runs/pocket")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mlx", type=int, nargs=2, default=[16, 8], help="prompt and new tokens of the load with MLX in it")
    parser.add_argument("--pair-rounds", type=int, default=15, help="rounds of llama.cpp's Q4_0 and F16 alone")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="of our engine and transformers")
    args = parser.parse_args()
    file = Path(os.environ.get("PELLUCID_SMOLLM2_GGUF", ""))
    if not file.is_file() and args.run is None:
        sys.exit("PELLUCID_SMOLLM2_GGUF names no file, and no --run is given")
    from pellucid.stages.throughput import Load, measure

    load = Load(args.prompt_tokens, args.new_tokens, tuple(args.batches), args.rounds, args.threads, device=args.device)
    result: dict[str, Any] = {"environment": environment(), "code_version": code_version()}
    if file.is_file():
        with tempfile.TemporaryDirectory() as scratch:
            everyone, mlx = write_all(file, Path(scratch))
            found = measure(everyone, load, served=True)
            print(medians(found))
            short = Load(*args.mlx, (1,), args.rounds, args.threads, device=args.device)
            with_mlx = measure(
                [*everyone[:2], *mlx], short, only=("MLX", "Pellucid", "transformers", "llama.cpp F16", "llama.cpp Q4_0")
            )
            print(medians(with_mlx))
            pairs = {}
            for threads in (1, 2):
                pair = Load(32, 96, (1,), args.pair_rounds, threads, device=args.device)
                pairs[f"threads {threads}"] = measure(everyone[1:2], pair, only=("F16", "Q4_0"))
                print(medians(pairs[f"threads {threads}"]))
        result |= {"model": "SmolLM2-135M-Instruct, from Q4_1", "file_sha256": sha256_file(file)}
        result |= {"smollm2": found, "smollm2_with_mlx": with_mlx, "q4_0_and_f16": pairs}
    if args.run is not None:
        result["run"] = measure([args.run], load, served=True)
        print(medians(result["run"]))
    write_json(args.out, result)


if __name__ == "__main__":
    main()
