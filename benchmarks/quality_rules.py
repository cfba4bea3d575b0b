"""The quality rules of Gopher, C4 and FineWeb: ours over batches, datatrove's filters over the same documents, one core, in turn.

Each round times one side after the other in processes of their own, pinned to one core; the ratio is taken within a round.
Documents go through all four steps in order, and those dropped go no further, on both sides; how many are left after each
step must agree.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BATCH_CHARS = 1_500_000


def choose(corpus: Path, limit: int, languages: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return language and text of at most `limit` bytes: a share of every file, so that all kinds and languages are in."""
    from pellucid.documents.lines import lines
    from pellucid.documents.streams import chunks

    files = [file for file in sorted(corpus.glob("*.jsonl.gz")) if file.name.split(".")[-3] in languages]
    chosen = []
    for file in files:
        taken = 0
        for line in lines(chunks(str(file)), limit=1 << 30):
            text = json.loads(line.data)["text"]
            size = len(text.encode())
            if taken + size <= limit // len(files):
                taken += size
                chosen.append((file.name.split(".")[-3], text))
    return sorted(chosen, key=lambda pair: hash_of(pair[1]))


def hash_of(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def time_ours(documents: list[tuple[str, str]]) -> dict[str, Any]:
    """Return CPU seconds by step and how many documents are left after each. Tables and rules are built before the clock starts."""
    from pellucid.documents.cleaning import c4, fineweb, gopher_quality, gopher_repetition
    from pellucid.documents.cleaning.batch import TextBatch
    from pellucid.documents.cleaning.tokens import OWN_RULES
    from pellucid.recipe.cleaning import C4Step, FineWebStep, GopherQualityStep, GopherRepetitionStep

    steps = (
        ("gopher_quality", gopher_quality.apply, GopherQualityStep(step="gopher_quality")),
        ("gopher_repetition", gopher_repetition.apply, GopherRepetitionStep(step="gopher_repetition")),
        ("c4", c4.apply, C4Step(step="c4")),
        ("fineweb", fineweb.apply, FineWebStep(step="fineweb")),
    )

    def run(batch: TextBatch) -> None:
        for name, apply, config in steps:
            began = time.process_time()
            apply(batch, config)
            seconds[name] += time.process_time() - began
            left[name] += len(batch.rows)

    seconds, left = {name: 0.0 for name, _, _ in steps}, {name: 0 for name, _, _ in steps}
    run(TextBatch(["A text."] * len(OWN_RULES), OWN_RULES))
    seconds, left = {name: 0.0 for name, _, _ in steps}, {name: 0 for name, _, _ in steps}
    begin = chars = 0
    for place, (_, text) in enumerate(documents):
        chars += len(text)
        if chars >= BATCH_CHARS or place + 1 == len(documents):
            part = documents[begin : place + 1]
            run(TextBatch([text for _, text in part], [language for language, _ in part]))
            begin, chars = place + 1, 0
    return {"cpu_s": sum(seconds.values()), "by_step_s": seconds, "left": left}


def time_theirs(documents: list[tuple[str, str]], stop_words: dict[str, list[str]]) -> dict[str, Any]:
    """Return the same of datatrove's filters, which are asked as its pipeline asks them."""
    from datatrove.data import Document
    from datatrove.pipeline.filters.c4_filters import C4QualityFilter
    from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter
    from datatrove.pipeline.filters.gopher_quality_filter import GopherQualityFilter
    from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter

    filters = {
        language: {
            "gopher_quality": GopherQualityFilter(language=language, stop_words=words),
            "gopher_repetition": GopherRepetitionFilter(language=language),
            "c4": C4QualityFilter(language=language),
            "fineweb": FineWebQualityFilter(language=language),
        }
        for language, words in stop_words.items()
    }
    for language in filters:
        for one in filters[language].values():
            one.filter(Document(text="A text. " * 60, id=""))
    seconds: dict[str, float] = dict.fromkeys(filters["en"], 0.0)
    left: dict[str, int] = dict.fromkeys(filters["en"], 0)
    for language, text in documents:
        document = Document(text=text, id="")
        for name, one in filters[language].items():
            began = time.process_time()
            result = one.filter(document)
            seconds[name] += time.process_time() - began
            if result is not True:
                break
            left[name] += 1
    return {"cpu_s": sum(seconds.values()), "by_step_s": seconds, "left": left}


def measure(python: Path, side: str, task: Path, core: int) -> dict[str, Any]:
    command = [str(python), __file__, "--side", side, "--task", str(task)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pin = lambda: os.sched_setaffinity(0, {core})  # noqa: E731
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=pin)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--corpus", type=Path, default=HERE.parent.parent / "shared" / "data" / "corpus", help="folder of .jsonl.gz"
    )
    parser.add_argument("--bytes", type=int, default=4_000_000, help="how much of it, unpacked")
    parser.add_argument(
        "--datatrove-python", type=Path, required="--side" not in sys.argv, help="a Python with datatrove and spacy"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "quality_rules.json")
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--task", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        task = json.loads(arguments.task.read_text())
        ours = arguments.side == "ours"
        print(json.dumps(time_ours(task["documents"]) if ours else time_theirs(task["documents"], task["stop_words"])))
        return 0
    from pellucid.core.environment import code_version, environment
    from pellucid.core.files import write_json
    from pellucid.documents.cleaning.stop_words import STOP_WORDS

    documents = choose(arguments.corpus, arguments.bytes, tuple(STOP_WORDS))
    if not documents:
        parser.error(f"no documents in {arguments.corpus}")
    size = sum(len(text.encode()) for _, text in documents)
    rounds: list[tuple[dict[str, Any], dict[str, Any]]] = []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"documents": documents, "stop_words": STOP_WORDS}, file)
        file.flush()
        for _ in range(arguments.repeats):
            ours = measure(Path(sys.executable), "ours", Path(file.name), arguments.core)
            rounds.append((ours, measure(arguments.datatrove_python, "theirs", Path(file.name), arguments.core)))
    figures: dict[str, Any] = {
        "ratio": spread([theirs["cpu_s"] / ours["cpu_s"] for ours, theirs in rounds]),
        "pellucid_mb_per_cpu_s": spread([size / 1e6 / ours["cpu_s"] for ours, _ in rounds]),
        "datatrove_mb_per_cpu_s": spread([size / 1e6 / theirs["cpu_s"] for _, theirs in rounds]),
    }
    for place, name in enumerate(("pellucid", "datatrove")):
        figures[f"{name}_by_step_s"] = {
            step: statistics.median(pair[place]["by_step_s"][step] for pair in rounds) for step in rounds[0][place]["by_step_s"]
        }
        figures[f"{name}_documents_left"] = rounds[0][place]["left"]
    record = {
        "command": f"python benchmarks/quality_rules.py --datatrove-python PYTHON --bytes {arguments.bytes}",
        "commit": code_version(),
        "environment": environment(),
        "config": {"documents": len(documents), "bytes": size, "batch_chars": BATCH_CHARS, "cores": 1},
        "figures": figures,
        "note": "Words and lines that several steps share are counted in the first that asks for them, on both sides.",
    }
    write_json(arguments.out, record)
    print(arguments.out.read_text())
    return 0 if figures["pellucid_documents_left"] == figures["datatrove_documents_left"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
