"""One epoch of SFT with `litgpt finetune_full` or `finetune_lora`: a peer of `sft.py`.

Reads a JSON job on standard input, trains in fp32, saves the tuned weights as a Hugging Face folder, and prints figures as JSON.
Nothing of Pellucid is imported; needs litgpt==0.5.13 and requests,
which it imports to save its settings.

What differs from the others because litgpt has it so: the prompt style `smollm2` writes the model's own template without the line
end behind the last turn; the first step of the schedule has a rate of 0 (its warm-up cannot be turned off); gradients are not
clipped; a tied head becomes a matrix of its own, which a full finetune trains beside the embedding. The times are litgpt's own
`iter_time`: from asking for a batch to the end of the optimizer's step.
"""

import csv
import json
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from litgpt.__main__ import main as litgpt_main
from litgpt.finetune import full, lora
from litgpt.scripts.convert_hf_checkpoint import convert_hf_checkpoint
from litgpt.scripts.convert_lit_checkpoint import convert_lit_checkpoint
from safetensors.torch import save_file

NAME = "SmolLM2-135M-Instruct"


def checkpoint(model: Path, root: Path) -> Path:
    """Return litgpt's form of a Hugging Face folder, made once under `root`."""
    folder = root / NAME
    if not (folder / "lit_model.pth").is_file():
        shutil.copytree(model, folder, dirs_exist_ok=True)
        convert_hf_checkpoint(folder, model_name=NAME, dtype="float32")
    return folder


def write_data(folder: Path, conversations: list[list[dict[str, str]]]) -> Path:
    """Write what litgpt's JSON data module reads. It wants a validation set and looks at it once; two rows are enough."""
    folder.mkdir(parents=True)
    rows = [{"instruction": asked["content"], "output": answer["content"]} for asked, answer in conversations]
    (folder / "train.json").write_text(json.dumps(rows))
    (folder / "val.json").write_text(json.dumps(rows[:2]))
    return folder


def export(tuned: Path, base: Path, out: Path) -> None:
    """Write litgpt's weights as a Hugging Face folder whose head is its own matrix."""
    convert_lit_checkpoint(tuned, out / "converted")
    state = torch.load(out / "converted" / "model.pth", weights_only=True)
    folder = out / "tuned"
    folder.mkdir(parents=True)
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((base / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))


def command(job: dict[str, Any], base: Path, data: Path, out: Path) -> list[str]:
    """Return the words of litgpt's command line."""
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": job["lr"], "weight_decay": 0.0, "betas": [0.9, 0.999]}}
    options = {
        "out_dir": out, "precision": "32-true", "devices": 1, "seed": job["seed"], "logger_name": "csv",
        "data": "JSON", "data.json_path": data, "data.mask_prompt": True, "data.prompt_style": "smollm2",
        "data.seed": job["seed"], "data.num_workers": 0,
        "train.save_interval": "null", "train.log_interval": 1, "train.global_batch_size": job["batch"],
        "train.micro_batch_size": job["micro"], "train.epochs": 1, "train.lr_warmup_steps": 1,
        "train.max_seq_length": job["max_length"],
        "eval.interval": 10**9, "eval.max_new_tokens": 1, "eval.max_iters": 1, "eval.final_validation": False,
        "optimizer": json.dumps(optimizer),
    }  # fmt: skip
    if job["lora"]:
        options |= {"lora_r": job["lora"]["rank"], "lora_alpha": job["lora"]["alpha"], "lora_dropout": 0.0}
        options |= {f"lora_{part}": True for part in ("query", "key", "value", "projection", "mlp")}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return ["litgpt", "finetune_lora" if job["lora"] else "finetune_full", str(base), *words]


def main() -> None:
    job = json.load(sys.stdin)
    torch.set_num_threads(job["threads"])
    out, model = Path(job["out"]), Path(job["model"])
    base = checkpoint(model, Path(job["root"]))
    data = write_data(out / "data", job["conversations"])
    module = lora if job["lora"] else full
    seen: dict[str, Any] = {}
    fit = module.fit

    def counted(*args: Any, **kwargs: Any) -> Any:
        seen["counts"] = fit(*args, **kwargs)
        seen["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return seen["counts"]

    module.fit = counted
    sys.argv = command(job, base, data, out / "run")
    litgpt_main()
    export(out / "run" / "final", model, out)
    (log,) = (out / "run").glob("logs/csv/**/metrics.csv")
    with log.open() as lines:
        iterations = [row for row in csv.DictReader(lines) if row.get("iter_time")]
    seconds = [float(row["iter_time"]) for row in iterations]
    each = job["batch"] // job["micro"]
    counts = {name: int(value) for name, value in seen["counts"].items()}
    figures = {
        "seconds": sum(seconds),
        "step_s": [sum(seconds[first : first + each]) for first in range(0, len(seconds), each)],
        "steps": -(-len(seconds) // each),
        "tokens": counts["raw_tokens_plus_prompt_template"],
        "positions": counts["raw_tokens_plus_prompt_template_and_padding"],
        "attention_confined": True,
        "train_losses": [float(row["loss"]) for row in iterations[each - 1 :: each]],
        "peak_rss_bytes": seen["peak"],
        "tuned": str(out / "tuned"),
    }
    print("\n" + json.dumps(figures))


if __name__ == "__main__":
    main()
