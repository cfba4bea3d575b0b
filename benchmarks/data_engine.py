"""The whole data engine against datatrove's same steps and against Polars, on the same text, in one run on the same cores.

The corpus is English text of `shared/data/corpus`, a quarter as much again in near copies (words replaced at random rates) and
exact copies, and benchmark questions planted into some documents. datatrove is the peer per core (CPU seconds of single
processes): language id, Gopher quality and repetition, C4 and FineWeb rules, decontamination, exact and near dedup, encoding.
Polars is the peer on two cores (wall seconds): whitespace, length, exact dedup, encoding. The peers need a Python of their own with
datatrove==0.10.1 spacy nltk tldextract fasttext-numpy2-wheel fasteners orjson tokenizers "xxhash<4" polars quicktok-v1:

    python benchmarks/data_engine.py --peers-python PEERS/bin/python
"""

import argparse
import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared" / "data"


def english(limit: int) -> Iterator[str]:
    """Yield documents of all English files in turn, up to `limit` bytes."""
    readers = [read_texts(file) for file in sorted((SHARED / "corpus").glob("*.en.jsonl.gz"))]
    size = 0
    while readers:
        for reader in list(readers):
            text = next(reader, None)
            if text is None:
                readers.remove(reader)
                continue
            size += len(text.encode())
            if size > limit:
                return
            yield text


def read_texts(file: Path) -> Iterator[str]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def questions(count: int) -> list[str]:
    """Return grade-school questions, as they stand in the benchmark."""
    file = next((SHARED / "bench" / "gsm8k").glob("*test*"))
    lines = [json.loads(line)["question"] for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if len(line.split()) >= 20][:count]


def make_corpus(folder: Path, limit: int, planted: list[str]) -> dict[str, int]:
    """Write the corpus as jsonl files of about 8 MB; return what is in it."""
    rng = random.Random(1)
    texts = list(english(int(limit * 0.8)))
    words = [word for text in texts[:200] for word in text.split()]
    counts = {"documents": len(texts), "near_copies": 0, "exact_copies": 0, "planted": len(planted)}
    size = sum(len(text.encode()) for text in texts)
    originals = len(texts)
    while size < limit:
        text = texts[rng.randrange(originals)]
        if rng.random() < 0.2:
            counts["exact_copies"] += 1
        else:
            rate = rng.choice((0.005, 0.01, 0.02))
            text = " ".join(rng.choice(words) if rng.random() < rate else word for word in text.split(" "))
            counts["near_copies"] += 1
        texts.append(text)
        size += len(text.encode())
    for question in planted:
        at = rng.randrange(originals)
        middle = texts[at].find("\n", len(texts[at]) // 2)
        texts[at] = f"{texts[at][:middle]}\n{question}\n{texts[at][middle:]}"
    rng.shuffle(texts)
    folder.mkdir(parents=True)
    file, written = (folder / "00000.jsonl").open("w", encoding="utf-8"), 0
    for number, text in enumerate(texts):
        written += file.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
        if written >= 8_000_000:
            file.close()
            file, written = (folder / f"{number:05d}.jsonl").open("w", encoding="utf-8"), 0
    file.close()
    counts["bytes"] = sum(len(text.encode()) for text in texts)
    return counts


STEPS = [
    {"step": "language", "keep": ["en"]},
    {"step": "gopher_quality"},
    {"step": "gopher_repetition"},
    {"step": "c4"},
    {"step": "fineweb"},
]


def run_ours(job: dict[str, Any]) -> dict[str, Any]:
    """Documents and shards in this process; called in a fresh one."""
    from pellucid.documents.prepare import prepare_documents
    from pellucid.documents.store import split_files
    from pellucid.recipe.data import ShardsConfig, SourceConfig
    from pellucid.recipe.documents import DocumentsConfig
    from pellucid.stages.encode import Encoding, SplitTask, encode_splits

    work, workers = Path(job["work"]), job["workers"]
    rules = (
        {"clean": STEPS, "near_dedup": {}, "decontaminate": {"benchmarks": [job["benchmark"]]}} if job["whole"] else job["plain"]
    )
    config = DocumentsConfig.model_validate({**rules, "workers": workers, "heldout_frac": 0, "partition_bytes": 16_000_000})
    source = SourceConfig(name="corpus", path="*.jsonl", weight=1, category="Web", language="en")
    began, used = time.perf_counter(), cpu_s()
    funnel = prepare_documents([source], Path(job["corpus"]), config, work / "documents").as_json()["sources"]["corpus"]
    documents_s = cpu_s() - used
    encoding = Encoding(Path(job["tokenizer"]), "", ShardsConfig(max_special_frac=0.2), 0)
    files = tuple(split_files(work / "documents", "corpus", "train"))
    (index,) = encode_splits([SplitTask("corpus", "train", files, work / "shards", encoding, None)], workers)
    return {
        "cpu_s": {"documents": documents_s, "encode": cpu_s() - used - documents_s},
        "wall_s": time.perf_counter() - began,
        "funnel": {name: funnel[name] for name in ("read", "kept", "dropped", "edits")},
        "tokens": index.tokens,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def cpu_s() -> float:
    """Return CPU seconds of this process and its ended children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def called(command: list[str], job: dict[str, Any], cores: int) -> dict[str, Any]:
    """Run a script on so many cores, with the job on its standard input; return the JSON of its last line."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    done = subprocess.run(
        command,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(cores), "POLARS_MAX_THREADS": str(cores), "TOKENIZERS_PARALLELISM": "false"},
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", type=Path, help="Python that has datatrove and Polars; without it only ours is measured")
    parser.add_argument("--parts", nargs="+", choices=("whole", "plain"), default=["whole", "plain"], help="datatrove; Polars")
    parser.add_argument("--bytes", type=int, default=100_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison with Polars; datatrove runs once")
    parser.add_argument("--out", type=Path, default=HERE / "data_engine.json")
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        print(json.dumps(run_ours(json.load(sys.stdin))))
        return
    from pellucid.documents.cleaning.language import find_lid176
    from pellucid.tokenizer.training import train_bpe

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        planted = questions(100)
        (root / "benchmark.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in planted))
        corpus = make_corpus(root / "corpus", arguments.bytes, planted)
        train_bpe(english(20_000_000), 16384).save(root / "tokenizer")
        job = {
            "corpus": str(root / "corpus"),
            "benchmark": str(root / "benchmark.jsonl"),
            "questions": planted,
            "tokenizer": str(root / "tokenizer"),
            "eos": "<|endoftext|>",
            "lid_model": str(find_lid176()),
            "plain": {"clean": [{"step": "unicode", "mend_mojibake": False}], "min_bytes": 200},
        }
        own = [sys.executable, __file__, "--ours"]
        figures: dict[str, Any] = {"corpus": corpus}
        if "whole" in arguments.parts:
            figures["whole, one core"] = called(own, {**job, "whole": True, "workers": 1, "work": str(root / "ours")}, 1)
        if arguments.peers_python and "whole" in arguments.parts:
            peer = [str(arguments.peers_python), str(HERE / "peers" / "datatrove_engine.py")]
            tokenizer = str(root / "tokenizer" / "tokenizer.json")
            figures["datatrove, one core"] = called(peer, {**job, "tokenizer": tokenizer, "work": str(root / "theirs")}, 1)
            ours_s, theirs_s = (sum(figures[name]["cpu_s"].values()) for name in ("whole, one core", "datatrove, one core"))
            figures["datatrove over ours, CPU"] = theirs_s / ours_s
            figures["MB/s of CPU"] = {"ours": corpus["bytes"] / ours_s / 1e6, "datatrove": corpus["bytes"] / theirs_s / 1e6}
        if arguments.peers_python and "plain" in arguments.parts:
            figures["plain, two cores"] = compare_with_polars(own, job, root, arguments)
    record = {
        "command": "python benchmarks/data_engine.py "
        + " ".join("PYTHON" if word.endswith("/python") else word for word in sys.argv[1:]),
        "commit": code_version(),
        "environment": environment(),
        "figures": figures,
    }
    write_json(arguments.out, record)
    print(arguments.out.read_text())


def compare_with_polars(own: list[str], job: dict[str, Any], root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Alternate ours and Polars over the plain steps."""
    peer = [str(arguments.peers_python), str(HERE / "peers" / "polars_engine.py")]
    rounds = []
    for number in range(arguments.rounds):
        work = root / f"plain-{number}"
        one = {"ours": called(own, {**job, "whole": False, "workers": 2, "work": str(work / "ours")}, 2)}
        for encoder in ("tiktoken", "quicktok"):
            one[encoder] = called(peer, {**job, "encoder": encoder, "work": str(work / encoder)}, 2)
        rounds.append(one)
        shutil.rmtree(work)
    figures: dict[str, Any] = {"rounds": rounds}
    for encoder in ("tiktoken", "quicktok"):
        ratios = sorted(one[encoder]["wall_s"] / one["ours"]["wall_s"] for one in rounds)
        told = {"median": ratios[len(ratios) // 2], "min": ratios[0], "max": ratios[-1]}
        figures[f"polars with {encoder} over ours, wall"] = told
    return figures


if __name__ == "__main__":
    main()
