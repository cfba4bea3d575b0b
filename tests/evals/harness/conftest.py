"""A tiny StableLM in our code and in transformers, and made-up items in the layouts of the benchmarks."""

import bz2
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.evals.local import LocalModel
from pellucid.export.hf import write_hf
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.training import train_bpe

TEXTS = [file.read_text(encoding="utf-8") for file in sorted((Path(__file__).parents[3] / "recipes").glob("*.yaml"))]
THINGS = ("mill", "bell", "rope", "lamp", "cart", "door", "well", "boat", "fire", "loom")


@dataclass(frozen=True)
class Pair:
    """The same weights: `ours` as a subject, `theirs` as the harness' own HFLM."""

    ours: LocalModel
    theirs: Any


@pytest.fixture(scope="session")
def stablelm(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A random StableLM of 2 layers with 640 tokens of context."""
    pytest.importorskip("lm_eval")
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = train_bpe(TEXTS, 512)
    config = ModelConfig(
        vocab_tokens=tokenizer.vocab_tokens, context_tokens=640, layers=2, hidden=32, heads=4, kv_heads=4, mlp_hidden=48,
        norm="layernorm", norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False, init_std=0.3,
    )  # fmt: skip
    model = Decoder(config)
    init_weights(model, 3)
    with torch.no_grad():  # special tokens, which no trained model writes amid text, are never the likeliest
        model.head.weight[tokenizer.eos_id :] = 0
    folder = tmp_path_factory.mktemp("stablelm")
    write_hf(model.state_dict(), config, tokenizer, folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert type(theirs).__name__ == "StableLmForCausalLM"
    lm = HFLM(pretrained=theirs, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=4)
    return Pair(LocalModel(model.eval(), tokenizer, label="tiny"), lm)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten made-up items of each benchmark, as loose files. One of BoolQ's is longer than the model's context."""
    folder = tmp_path_factory.mktemp("bench")
    lines = []
    for number, thing in enumerate(THINGS):
        lines += [f"Making a {thing}: A man looks at the {thing}. the man", str(number % 4)]
        lines += [f"{verb} the {thing} and walks away." for verb in ("paints", "breaks", "sells", "lifts")]
    (folder / "hellaswag").mkdir()
    (folder / "hellaswag" / "hellaswag_val_full.txt.bz2").write_bytes(bz2.compress("\n".join(lines).encode()))
    for split, count in (("dev", 5), ("test", 9)):
        (folder / "mmlu" / split).mkdir(parents=True)
        for subject in ("anatomy", "astronomy"):
            rows = [f'"What, in {subject}, is a {THINGS[n]}?",one,"two, or so",three,four,{n % 4}' for n in range(count)]
            text = "\n".join(["question,choice0,choice1,choice2,choice3,answer", *rows])
            (folder / "mmlu" / split / f"{subject}_{split}.csv").write_text(text + "\n")
    (folder / "truthfulqa").mkdir()
    rows = [f"A,B,Does a {thing} fly?,It does not,It does not; No,Yes; It does; At night,url" for thing in THINGS]
    header = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source"
    (folder / "truthfulqa" / "TruthfulQA.csv").write_text("\n".join([header, *rows]) + "\n")
    for split in ("train", "test"):
        solved = [
            {"question": f"A {thing} and {n} more?", "answer": f"1 + {n} = {n + 1}\n#### {n + 1}"} for n, thing in enumerate(THINGS)
        ]
        write_lines(folder / "gsm8k" / f"{split}.jsonl", solved)
    (folder / "bbh" / "bbh").mkdir(parents=True)
    examples = [{"input": f"not ( {n % 2 == 0} ) is", "target": str(n % 2 == 1)} for n in range(4)]
    (folder / "bbh" / "bbh" / "boolean_expressions.json").write_text(json.dumps({"examples": examples}))
    options = [f"it is a {thing}" for thing in THINGS[:4]]
    arc = [{"query": f"Question: What is a {thing}?", "choices": options, "gold": n % 4} for n, thing in enumerate(THINGS)]
    write_lines(folder / "sets" / "arc_easy.jsonl", arc)
    write_lines(folder / "sets" / "arc_challenge.jsonl", arc[::-1])
    stems = [{"query": f"A {thing} is best", "choices": options, "gold": n % 4} for n, thing in enumerate(THINGS)]
    write_lines(folder / "sets" / "openbook_qa.jsonl", stems)
    goals = [
        {"query": f"Question: How is a {thing} kept?\n", "choices": ["Dry.", "In the open."], "gold": n % 2}
        for n, thing in enumerate(THINGS)
    ]
    write_lines(folder / "sets" / "piqa.jsonl", goals)
    asked = [
        {
            "query": f"Passage: {'An old one. ' * (200 * (n == 3))}A {thing}.\nQuestion: is a {thing} new?",
            "choices": ["no", "yes"],
            "gold": n % 2,
        }
        for n, thing in enumerate(THINGS)
    ]
    write_lines(folder / "sets" / "boolq.jsonl", asked)
    last = [
        {"context": f"He rang the bell.\n\nThen he went to the {thing} and shut the", "continuation": "door"} for thing in THINGS
    ]
    write_lines(folder / "sets" / "lambada_openai.jsonl", last)
    return folder


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with made-up WinoGrande, DROP and German items, laid out as on the hub."""
    folder = tmp_path_factory.mktemp("copies")
    sentences = [
        {"sentence": f"The {a} was heavier than the {b}, so the _ was left.", "option1": a, "option2": b, "answer": str(1 + n % 2)}
        for n, (a, b) in enumerate(zip(THINGS, THINGS[::-1], strict=True))
    ]
    write_lines(folder / "allenai" / "winogrande" / "winogrande_xl" / "train.jsonl", sentences[:6])
    write_lines(folder / "allenai" / "winogrande" / "winogrande_xl" / "validation.jsonl", sentences[6:])
    german = [
        {
            "id": str(n), "instruction": f"Was ist {thing}?", "option_a": "eins", "option_b": "zwei", "option_c": "drei",
            "option_d": "vier", "option_e": None, "answer": "ABCD"[n % 4],
        }
        for n, thing in enumerate(THINGS)
    ]  # fmt: skip
    write_lines(folder / "alexandrainst" / "m_arc" / "de" / "test.jsonl", german)
    return folder


@pytest.fixture(scope="session")
def harness_samples() -> Callable[..., list[dict[str, Any]]]:
    """What the harness' own evaluator makes of a task: its samples, one for each item and filter of answers."""

    def samples(lm: Any, task: Any, limit: int | None = None) -> list[dict[str, Any]]:
        from lm_eval.evaluator import evaluate

        found = evaluate(lm=lm, task_dict={"tasks": {task.config.task: task}}, limit=limit, bootstrap_iters=0)
        return list(found["samples"][task.config.task])

    return samples
