"""Choose the pocket model: train candidates for the same wall time and compare held-out bits per byte.

Each candidate is a list of recipe overrides. Its rate in tokens per second is measured first over a few steps, and its length is
set so that training takes the asked time; so a larger model pays for its size with fewer tokens, as it would in a real run. Each
candidate is trained by the same stage, on the same shards and scored on the same held-out documents as `pellucid run` does.

    python benchmarks/pocket_sweep.py --seconds 60 --candidates benchmarks/pocket_sweep.yaml --out benchmarks/pocket_sweep.json
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
import yaml

from pellucid.checkpoint.models import load_model
from pellucid.cli.main import THREADS_WAIT
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.metrics import read_metrics
from pellucid.evals.records import total
from pellucid.recipe.load import load_recipe
from pellucid.stages.evaluate import heldout_documents, score_as_recipe
from pellucid.stages.flow import run_one
from pellucid.stages.run_folder import data_order
from pellucid.tokenizer.tokenizer import load_tokenizer
from pellucid.train.stage import run_stage

CALIBRATION_STEPS = 24
SHORT = ("train.0.schedule.warmup_steps=1", "train.0.schedule.cooldown_steps=0", "train.0.checkpoint.every_steps=1000")


def split_fractions(overrides: list[str]) -> tuple[list[str], dict[str, float]]:
    """Take out what is no key of a recipe.

    `warmup_frac=` and `cooldown_frac=` give the schedule as parts of a length that is not known yet; `tokens=` fixes the length
    instead of the time, for comparing settings that do not change the speed on a machine that others use too.
    """
    fractions = {"warmup": 0.04, "cooldown": 0.6}
    rest = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key in ("warmup_frac", "cooldown_frac", "tokens"):
            fractions[key.removesuffix("_frac")] = float(value)
        else:
            rest.append(override)
    return rest, fractions


def prepare(recipe: Path, overrides: list[str], runs: Path) -> Path:
    """Make documents, tokenizer and shards once for each vocabulary; later candidates find them unchanged."""
    loaded = load_recipe(recipe, overrides)
    vocab = loaded.recipe.tokenizer.vocab_tokens
    for stage in ("documents", "tokenizer", "shards"):
        run_one(stage, loaded, runs / str(vocab))
    return runs / str(vocab) / loaded.recipe.name


def train_for(recipe: Path, overrides: list[str], seconds: float, run: Path, scratch: Path) -> dict[str, Any]:
    """Train one candidate for about `seconds` and return what it reached."""
    shutil.rmtree(scratch, ignore_errors=True)
    overrides, fractions = split_fractions(overrides)
    batch_tokens = load_recipe(recipe, [*overrides, *SHORT]).recipe.train[0].batch_tokens
    if "tokens" in fractions:
        steps = int(fractions["tokens"] / batch_tokens)
    else:
        steps = max(30, int(calibrate(recipe, overrides, batch_tokens, run, scratch / "probe") * seconds / batch_tokens))
    lengths = [
        f"train.0.length_tokens={steps * batch_tokens}",
        f"train.0.schedule.warmup_steps={max(1, int(fractions['warmup'] * steps))}",
        f"train.0.schedule.cooldown_steps={int(fractions['cooldown'] * steps)}",
        f"train.0.checkpoint.every_steps={steps}",
    ]
    loaded = load_recipe(recipe, [*overrides, *lengths])
    stage = loaded.recipe.train[0]
    started = time.monotonic()
    run_stage(stage, loaded.recipe.model, data_order(loaded.recipe, stage, run), loaded.recipe.seed, scratch / "train")
    took = time.monotonic() - started
    tokenizer = load_tokenizer(run / "tokenizer")
    model, _ = load_model(scratch / "train" / "checkpoints" / f"step-{stage.total_steps:08d}")
    result = total(score_as_recipe(loaded.recipe, model.eval(), tokenizer, heldout_documents(loaded.recipe, run / "documents")))
    steps_log = [record for record in read_metrics(scratch / "train" / "metrics.jsonl") if "loss" in record]
    return {
        "bits_per_byte": round(result.bits_per_byte, 4),
        "seconds": round(took, 1),
        "tokens": steps * batch_tokens,
        "steps": steps,
        "tokens_per_s": round(steps * batch_tokens / took),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "last_loss": round(sum(r["loss"] for r in steps_log[-20:]) / len(steps_log[-20:]), 4),
        "heldout_bytes": result.bytes,
    }


def calibrate(recipe: Path, overrides: list[str], batch_tokens: int, run: Path, scratch: Path) -> float:
    """Return tokens per second, the median over the later of a few steps."""
    loaded = load_recipe(recipe, [*overrides, *SHORT, f"train.0.length_tokens={CALIBRATION_STEPS * batch_tokens}"])
    stage = loaded.recipe.train[0]
    run_stage(stage, loaded.recipe.model, data_order(loaded.recipe, stage, run), loaded.recipe.seed, scratch)
    rates = [record["tokens_per_s"] for record in read_metrics(scratch / "metrics.jsonl") if "loss" in record]
    later = sorted(rates[CALIBRATION_STEPS // 3 :])
    return later[len(later) // 2]


def worker(arguments: argparse.Namespace) -> None:
    """Train one candidate in this process and print its result as the last line."""
    runs = Path(arguments.work)
    overrides, _ = split_fractions(arguments.one)
    run = prepare(Path(arguments.recipe), [*overrides, *SHORT], runs)
    result = train_for(Path(arguments.recipe), arguments.one, arguments.seconds, run, runs / "scratch")
    sys.stdout.write(orjson.dumps(result).decode() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="recipes/pocket.yaml")
    parser.add_argument("--candidates", default="benchmarks/pocket_sweep.yaml", help="YAML: shared, candidates")
    parser.add_argument("--seconds", type=float, default=60, help="training time of each candidate")
    parser.add_argument("--work", default=str(Path(tempfile.gettempdir()) / "pellucid-sweep"), help="scratch folder")
    parser.add_argument("--out", default="benchmarks/pocket_sweep.json")
    parser.add_argument("--only", nargs="*", help="names of the candidates to run; all when not given")
    parser.add_argument("--one", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        worker(arguments)
        return
    out = Path(arguments.out)
    table = orjson.loads(out.read_bytes()) if out.is_file() else {"rows": []}
    table |= {"code": code_version(), "environment": environment(), "command": "python benchmarks/pocket_sweep.py"}
    listed = yaml.safe_load(Path(arguments.candidates).read_text())
    for name, own in listed["candidates"].items():
        overrides = [*listed["shared"], *own]
        if arguments.only and name not in arguments.only:
            continue
        if any(row["name"] == name and row["budget_s"] == arguments.seconds for row in table["rows"]):
            continue
        # A process each: compiled code, caches and threads of one candidate do not reach the next.
        call = [
            sys.executable,
            __file__,
            "--recipe",
            arguments.recipe,
            "--seconds",
            str(arguments.seconds),
            "--work",
            arguments.work,
        ]
        done = subprocess.run(
            [*call, "--one", *map(str, overrides)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | THREADS_WAIT,
        )
        row = {"failed": done.returncode} if done.returncode else orjson.loads(done.stdout.splitlines()[-1])
        table["rows"].append({"name": name, "budget_s": arguments.seconds, "overrides": overrides, **row})
        write_json(out, table)
        print(name, row, flush=True)


if __name__ == "__main__":
    main()
