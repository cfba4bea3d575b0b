"""The peer of the pocket model: nanochat's way of training, on the same shards and the same held-out documents.

nanochat is no package, so its published recipe is written down here again, with PyTorch's own optimizers: RMSNorm without weights,
also after the embedding and on queries and keys, rotation of whole heads, squared ReLU, no biases, zero-initialised output
projections and head, soft-capped logits; Muon for the matrices, AdamW for embedding and head at their own rates scaled by
(width/768)^-0.5, constant rate with a linear decay at the end; compiled as a whole. Width is 64 · depth in heads of 128 channels.
Its batch is far too large for minutes on two cores, so the batch is this project's, and `--rates` offers it slower rates too; the
best of them is its result.

    python benchmarks/nanochat_recipe.py --seconds 480 --depths 2 --rates 1 0.25
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
import torch
import torch.nn.functional as F
from pocket_sweep import SHORT, prepare
from torch import Tensor, nn

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.evals.records import total
from pellucid.recipe.load import load_recipe
from pellucid.stages.evaluate import heldout_documents, score_as_recipe
from pellucid.stages.run_folder import data_order
from pellucid.tokenizer.tokenizer import load_tokenizer

RECIPE = Path(__file__).parents[1] / "recipes" / "pocket.yaml"
HEAD_CHANNELS = 128
SOFTCAP = 15.0
CALIBRATION_STEPS = 12


def norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_CHANNELS
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x_BTD: Tensor, cos_TC: Tensor, sin_TC: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        n_BTD = norm(x_BTD)
        q, k, v = (each(n_BTD).view(B, T, self.heads, HEAD_CHANNELS).transpose(1, 2) for each in (self.query, self.key, self.value))
        q, k = norm(rotated(q, cos_TC, sin_TC)), norm(rotated(k, cos_TC, sin_TC))
        mixed_BHTC = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.out(mixed_BHTC.transpose(1, 2).reshape(B, T, D))
        return x_BTD + self.down(F.relu(self.up(norm(x_BTD))).square())


def rotated(x_BHTC: Tensor, cos_TC: Tensor, sin_TC: Tensor) -> Tensor:
    left, right = x_BHTC.chunk(2, dim=-1)
    return torch.cat([left * cos_TC + right * sin_TC, right * cos_TC - left * sin_TC], dim=-1)


class Nanochat(nn.Module):
    def __init__(self, vocab: int, depth: int, context: int, width: int = 0) -> None:
        super().__init__()
        self.width = width = width or math.ceil(64 * depth / HEAD_CHANNELS) * HEAD_CHANNELS
        self.embedding = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, vocab, bias=False)
        angles = torch.outer(torch.arange(context), 10_000.0 ** (-torch.arange(0, HEAD_CHANNELS, 2) / HEAD_CHANNELS))
        self.register_buffer("cos_TC", angles.cos(), persistent=False)
        self.register_buffer("sin_TC", angles.sin(), persistent=False)
        nn.init.normal_(self.embedding.weight, std=1.0)
        for matrix in self.matrices():
            rows, columns = matrix.shape
            nn.init.normal_(matrix, std=min(1.0, math.sqrt(rows / columns)) / math.sqrt(columns))
        for block in self.blocks:
            nn.init.zeros_(block.out.weight)
            nn.init.zeros_(block.down.weight)
        nn.init.zeros_(self.head.weight)

    def matrices(self) -> list[nn.Parameter]:
        return [parameter for block in self.blocks for parameter in block.parameters()]

    def forward(self, ids_BT: Tensor) -> Tensor:
        T = ids_BT.shape[1]
        x_BTD = norm(self.embedding(ids_BT))
        for block in self.blocks:
            x_BTD = block(x_BTD, self.cos_TC[:T], self.sin_TC[:T])
        return norm(x_BTD)

    def logits(self, x_BTD: Tensor) -> Tensor:
        return SOFTCAP * torch.tanh(self.head(x_BTD) / SOFTCAP)


def train(model: Nanochat, order: Any, batch_seqs: int, seconds: float, rate: float) -> dict[str, Any]:
    """Train for `seconds`, the compilation and a few measured steps before them not counted."""
    scale = rate * (model.width / 768) ** -0.5
    adamw = torch.optim.AdamW(
        [{"params": [model.head.weight], "lr": 0.004 * scale}, {"params": [model.embedding.weight], "lr": 0.2 * scale}],
        betas=(0.8, 0.95), eps=1e-10, weight_decay=0.0, fused=True,
    )  # fmt: skip
    muon = torch.optim.Muon(model.matrices(), lr=0.02 * rate, momentum=0.95, weight_decay=0.0, adjust_lr_fn="original")
    groups = [*adamw.param_groups, *muon.param_groups]
    for group in groups:
        group["initial_lr"] = group["lr"]

    def loss_of(ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        return F.cross_entropy(model.logits(model(ids_BT)).flatten(0, 1), targets_BT.flatten())

    compiled = torch.compile(loss_of, dynamic=False)

    def step(number: int, lr_frac: float) -> float:
        batch = order.sequences(number * batch_seqs, batch_seqs)
        loss = compiled(torch.from_numpy(batch.ids_BT), torch.from_numpy(batch.targets_BT))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in groups:
            group["lr"] = group["initial_lr"] * lr_frac
        muon.param_groups[0]["momentum"] = 0.85 + 0.1 * min(1.0, number / 300)
        adamw.step()
        muon.step()
        model.zero_grad(set_to_none=True)
        return float(loss.detach())

    # The compilation and the speed are found with rates of zero, which change no weight and only start the moments.
    step(0, 0.0)
    started = time.monotonic()
    for number in range(CALIBRATION_STEPS):
        step(number, 0.0)
    steps = max(30, int(seconds * CALIBRATION_STEPS / (time.monotonic() - started)))
    started = time.monotonic()
    losses = [step(number, min(1.0, (steps - number) / (0.2 * steps))) for number in range(steps)]
    took = time.monotonic() - started
    tokens = steps * batch_seqs * order.sequences(0, 1).ids_BT.shape[1]
    return {
        "seconds": round(took, 1),
        "steps": steps,
        "tokens": tokens,
        "tokens_per_s": round(tokens / took),
        "last_loss": round(sum(losses[-20:]) / 20, 4),
    }


def worker(arguments: argparse.Namespace) -> None:
    runs = Path(arguments.work)
    run = prepare(RECIPE, list(SHORT), runs)
    recipe = load_recipe(RECIPE).recipe
    stage = recipe.train[0]
    tokenizer = load_tokenizer(run / "tokenizer")
    torch.manual_seed(recipe.seed)
    model = Nanochat(recipe.model.vocab_tokens, arguments.depths[0], stage.seq_tokens)
    result = train(model, data_order(recipe, stage, run), stage.batch_seqs, arguments.seconds, arguments.rates[0])
    score = total(score_as_recipe(recipe, model.eval(), tokenizer, heldout_documents(recipe, run / "documents")))
    result |= {"bits_per_byte": round(score.bits_per_byte, 4), "heldout_bytes": score.bytes}
    result |= {"parameters": sum(parameter.numel() for parameter in model.parameters()), "width": model.width}
    sys.stdout.write(orjson.dumps(result).decode() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=480, help="training time of each candidate")
    parser.add_argument("--depths", type=int, nargs="+", default=[2])
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0], help="multiples of nanochat's learning rates")
    parser.add_argument("--work", default=str(Path(tempfile.gettempdir()) / "pellucid-sweep"), help="scratch folder")
    parser.add_argument("--out", default="benchmarks/nanochat_recipe.json")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments)
        return
    out = Path(arguments.out)
    table = orjson.loads(out.read_bytes()) if out.is_file() else {"rows": []}
    table |= {"code": code_version(), "environment": environment(), "command": "python benchmarks/nanochat_recipe.py"}
    for depth in arguments.depths:
        for rate in arguments.rates:
            own = ["--depths", str(depth), "--rates", str(rate), "--seconds", str(arguments.seconds), "--work", arguments.work]
            done = subprocess.run([sys.executable, __file__, "--worker", *own], stdout=subprocess.PIPE, text=True, check=True)
            row = {"depth": depth, "rate": rate, "budget_s": arguments.seconds, **orjson.loads(done.stdout.splitlines()[-1])}
            table["rows"].append(row)
            write_json(out, table)
            print(row, flush=True)


if __name__ == "__main__":
    main()
