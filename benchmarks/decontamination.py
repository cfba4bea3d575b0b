"""Decontamination: MB/s from words already hashed and with their hashing, planted questions found, and the hits in a clean corpus.

    taskset -c 0 python benchmarks/decontamination.py --bench ../shared/data/bench

The benchmarks are read from a folder with the layouts in which they are published. Every item whose question has at least as many
words as can be told from ordinary text is planted into a document of the pocket corpus, with its case, punctuation and line breaks
changed, never a word. What is found in the pocket corpus without planting is listed whole, so that one can judge each hit.
"""

import argparse
import itertools
import random
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.decontamination.files import read_benchmarks
from pellucid.documents.decontamination.find import apply, find_hits
from pellucid.documents.decontamination.index import build_index, load_index
from pellucid.documents.words import hash_words
from pellucid.recipe.documents import DecontaminateConfig

HERE = Path(__file__).parent
PATTERNS = (
    "bbh/bbh/*.json",
    "gsm8k/*.jsonl",
    "hellaswag/*",
    "humaneval/*",
    "mbpp/*",
    "mmlu/*/*.csv",
    "mtbench/**/*.jsonl",
    "sets/*.jsonl",
    "truthfulqa/*.csv",
)


def rates(megabytes: float, work: Callable[[], object], runs: int) -> dict[str, float]:
    """Return MB per second of CPU time."""
    found = []
    for _ in range(runs):
        began = time.process_time()
        work()
        found.append(megabytes / (time.process_time() - began))
    return {"median": round(statistics.median(found), 1), "min": round(min(found), 1), "max": round(max(found), 1), "runs": runs}


def disguise(text: str, rng: random.Random) -> str:
    """Change case, line breaks and punctuation, never a word (capitals of ß or µ are other letters)."""
    words = re.split(r"\s+", text.strip())
    return "".join(
        rng.choice([word, word.upper() if word.upper().lower() == word.lower() else word, word.lower()])
        + rng.choice([" ", "\n", ",  ", " - ", "\t*"])
        for word in words
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder with the benchmarks")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "decontamination.json")
    arguments = parser.parse_args()
    config = DecontaminateConfig(benchmarks=PATTERNS)

    items = read_benchmarks(PATTERNS, arguments.bench, config.ngram_words)
    began = time.process_time()
    built = build_index(items, config)
    build_s = time.process_time() - began
    texts, names = [], []
    for path in sorted((HERE.parent / "corpora/pocket").glob("*.parquet")):
        table = pq.read_table(path, columns=["text", "id"]).to_pydict()
        texts += table["text"]
        names += [f"{path.stem}/{identity}" for identity in table["id"]]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    languages = ["und"] * len(texts)
    with tempfile.TemporaryDirectory() as folder:
        built.save(Path(folder) / "index")
        index = load_index(Path(folder) / "index")
        clean = TextBatch(texts, languages, names)
        hits = apply(clean, index)
        slices = [hash_words(texts[begin : begin + 300]) for begin in range(0, len(texts), 300)]
        from_ids = rates(megabytes, lambda: [find_hits(words, index) for words in slices], arguments.runs)
        whole = rates(megabytes, lambda: apply(TextBatch(texts, languages, names), index), arguments.runs)

        rng = random.Random(7)
        words_of = [len(part) for part in _word_counts([item.questions[0] for item in items])]
        planted = [item for item, words in zip(items, words_of, strict=True) if words >= config.min_words]
        clean_texts = [text for text, alive in zip(texts, clean.alive_N.tolist(), strict=True) if alive]
        documents = [
            f"{rng.choice(clean_texts)[:400]}\n{disguise(item.questions[0], rng)}\n{rng.choice(clean_texts)[:400]}"
            for item in planted
        ]
        batch = TextBatch(documents, ["und"] * len(documents))
        found = {(hit.row, hit.benchmark, hit.number) for hit in apply(batch, index)}
    missed = [item for row, item in enumerate(planted) if batch.alive_N[row]]
    unnamed = [
        item for row, item in enumerate(planted) if not batch.alive_N[row] and (row, item.benchmark, item.number) not in found
    ]
    result = {
        "environment": environment(),
        "code": code_version(),
        "config": config.model_dump(mode="json"),
        "index": {
            "items": len(items),
            "grams": len(built.anchors_G),
            "build_s": round(build_s, 1),
            "lost": dict(Counter(name for name, _ in built.lost)),
            "questions_too_short": len(items) - len(planted),
        },
        "corpus_mb": round(megabytes, 1),
        "mb_per_s": {"from_ids": from_ids, "with_word_hashing": whole},
        "planted": {
            "questions": len(planted),
            "documents_dropped": len(planted) - len(missed),
            "frac": (len(planted) - len(missed)) / len(planted),
            "missed": [[item.benchmark, item.number, item.questions[0][:200]] for item in missed],
            "dropped_by_another_item": len(unnamed),
        },
        "hits_without_planting": [[hit.name, hit.benchmark, hit.number, hit.words, hit.text[:300]] for hit in hits],
    }
    write_json(arguments.out, result)
    print({key: result[key] for key in ("index", "corpus_mb", "mb_per_s")})
    print({key: value for key, value in result["planted"].items() if key != "missed"}, "missed", result["planted"]["missed"][:20])
    print(len(hits), "hits in", int((~clean.alive_N).sum()), "documents of", len(texts))


def _word_counts(questions: list[str]) -> list[range]:
    counts = []
    for begin in range(0, len(questions), 4096):
        offsets = hash_words(questions[begin : begin + 4096]).offsets_N1.tolist()
        counts += [range(first, last) for first, last in itertools.pairwise(offsets)]
    return counts


if __name__ == "__main__":
    main()
