"""Near-duplicates: documents/s and MB/s of one core against other libraries, what is found of planted copies, and peak memory.

Rates are by CPU time of one thread, on documents of about 5 KB. In each round all libraries take their turn on the same texts, and
ratios are taken within the round. Other libraries run in the Python given by --peers-python (datasketch, rensa) and
--datatrove-python, on fewer documents where they are slow.

Copies are planted in real texts: words are replaced at random by words that occur nowhere else, at a rate that aims at a Jaccard
similarity drawn evenly from .3 to 1; the truth is the exact similarity of the sets of 5-word shingles. Recall is the share of pairs
(text, copy) in one cluster. Precision is the share of similar pairs among all pairs (dropped document, kept one).

Memory is the peak of a process that does nothing but find clusters and choose, on synthetic documents of 200 random words: two in
nine are copies of another with one word in a hundred replaced, and one in a hundred is a copy of one and the same page.
"""

import argparse
import functools
import gzip
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.hashing import mix
from pellucid.documents.dedup.arrays import save_array
from pellucid.documents.dedup.choose import choose
from pellucid.documents.dedup.clusters import find_clusters
from pellucid.documents.dedup.minhash import found_frac, least_equal, signatures
from pellucid.documents.words import Words, hash_ngrams, hash_words
from pellucid.recipe.documents import NearDedupConfig

HERE = Path(__file__).parent
CONFIG = NearDedupConfig()
BATCH = 256
PART = 25_000


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def read_texts(corpus: Path, low: int, high: int) -> list[str]:
    """Return the texts of `low` to `high` characters, in an order of their own."""
    texts = []
    for file in sorted(corpus.glob("*.jsonl.gz")):
        with gzip.open(file) as lines:
            own = (orjson.loads(line)["text"] for line in lines)
            texts += [text for text in own if low <= len(text) <= high]
    random.Random(0).shuffle(texts)
    return texts


def sign(texts: list[str]) -> np.ndarray:
    parts = [signatures(hash_words(texts[begin : begin + BATCH]), CONFIG, 0) for begin in range(0, len(texts), BATCH)]
    return np.concatenate(parts)


def our_run(texts: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        save_array(Path(folder) / "signatures.npy", sign(texts))
        signed = time.process_time()
        clusters = np.load(find_clusters([Path(folder) / "signatures.npy"], CONFIG, Path(folder) / "work"))
        ended = time.process_time()
    return {
        "documents": len(texts),
        "bytes": sum(len(text.encode()) for text in texts),
        "signatures_cpu_s": signed - began,
        "rest_cpu_s": ended - signed,
        "repeats": int((clusters != np.arange(len(texts))).sum()),
    }


def rensa_on_our_shingles(texts: list[str]) -> dict[str, float] | None:
    """Time rensa and our minima on the same hashed shingles, both without the words."""
    try:
        from rensa import RMinHash
    except ImportError:
        return None
    words = [hash_words(texts[begin : begin + BATCH]) for begin in range(0, len(texts), BATCH)]
    began = time.process_time()
    for batch in words:
        signatures(batch, CONFIG, 0)
    ours = time.process_time() - began
    began = time.process_time()
    for batch in words:
        RMinHash.digest_matrix_from_flat_token_hashes(*hash_ngrams(batch, CONFIG.ngram_words), CONFIG.permutations, 42)
    return {"ours_cpu_s": ours, "rensa_cpu_s": time.process_time() - began}


def measure_rates(texts: list[str], rounds: int, peers: dict[str, tuple[str, int]]) -> dict[str, Any]:
    """Return documents/s and MB/s by library, and our ratio to each; `peers` gives the Python and the most documents."""
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.NamedTemporaryFile("wb", suffix=".jsonl") as file:
        file.write(b"\n".join(map(orjson.dumps, texts)))
        file.flush()
        for _ in range(rounds):
            runs.setdefault("pellucid", []).append(our_run(texts))
            for name, (python, most) in peers.items():
                command = [python, str(HERE / "peers" / "near_dedup_engines.py"), name, file.name, str(most)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    figures: dict[str, Any] = {}
    for name, own in runs.items():
        signed = [run["documents"] / run["signatures_cpu_s"] for run in own]
        whole = [run["documents"] / (run["signatures_cpu_s"] + run["rest_cpu_s"]) for run in own]
        scale = own[0]["bytes"] / own[0]["documents"] / 1e6
        figures[name] = {
            "documents": own[0]["documents"],
            "bytes": own[0]["bytes"],
            "repeats": own[0]["repeats"],
            "signatures_documents_per_s": spread(signed),
            "signatures_mb_per_s": spread([rate * scale for rate in signed]),
            "whole_documents_per_s": spread(whole),
        }
        if name == "pellucid":
            ours = (signed, whole)
        else:
            for label, mine, theirs in zip(("signatures", "whole"), ours, (signed, whole), strict=True):
                figures[name][f"pellucid_{label}_ratio"] = spread([a / b for a, b in zip(mine, theirs, strict=True)])
    return figures


def shingle_set(text: str) -> set[tuple[str, ...]]:
    words = hash_words([text])
    cut = [text[begin:end].lower() for begin, end in zip(words.begin_W, words.end_W, strict=True)]
    return {tuple(cut[place : place + 5]) for place in range(len(cut) - 4)}


def jaccard(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    return len(a & b) / len(a | b)


def altered(text: str, aim: float, rng: random.Random) -> str:
    rate = 1 - (2 * aim / (1 + aim)) ** 0.2
    return " ".join(f"neu{rng.getrandbits(48):x}" if rng.random() < rate else word for word in text.split())


def measure_quality(texts: list[str]) -> dict[str, Any]:
    """Return recall by the true similarity of planted copies, and precision over everything that was dropped."""
    rng = random.Random(0)
    texts = [*texts, *(altered(text, rng.uniform(0.3, 1), rng) for text in texts)]
    place = list(range(len(texts)))
    rng.shuffle(place)
    row_of = np.empty(len(texts), dtype=np.int64)
    row_of[place] = np.arange(len(texts))
    with tempfile.TemporaryDirectory() as folder:
        save_array(Path(folder) / "signatures.npy", sign([texts[number] for number in place]))
        clusters = np.load(find_clusters([Path(folder) / "signatures.npy"], CONFIG, Path(folder) / "work"))
    cluster_of = clusters[row_of]
    sets = [shingle_set(text) for text in texts]
    half = len(texts) // 2
    true = np.array([jaccard(sets[number], sets[half + number]) for number in range(half)])
    found = cluster_of[:half] == cluster_of[half:]
    bins: dict[str, Any] = {}
    for low in (0.9, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3):
        high = 1.01 if low == 0.9 else round(low + (0.05 if 0.6 <= low < 0.8 else 0.1), 2)
        here = (true >= low) & (true < high)
        expected = float(np.mean([found_frac(CONFIG, value) for value in true[here]]))
        bins[f"{low:g}"] = {"pairs": int(here.sum()), "found_frac": float(found[here].mean()), "closed_form_frac": expected}
    kept = np.array([place[row] for row in clusters])[row_of]
    dropped = np.flatnonzero(kept != np.arange(len(texts)))
    similar = np.array([jaccard(sets[number], sets[kept[number]]) for number in dropped])
    return {
        "texts": half,
        "recall_by_least_jaccard_of_bin": bins,
        "recall": {f"{low:g}": float(found[true >= low].mean()) for low in (0.8, 0.9)},
        "dropped": len(dropped),
        "precision": {f"{low:g}": float((similar >= low).mean()) for low in (0.5, 0.6, 0.7, 0.8)},
    }


def write_synthetic(folder: Path, documents: int) -> None:
    for begin in range(0, documents, PART):
        rows = np.arange(begin, min(begin + PART, documents))
        model = np.where(rows % 3 == 0, rows // 3 * 2 + 1, rows)
        model[rows % 100 == 7] = 0
        places = np.arange(200)
        keys = mix((model[:, None] * 1000 + places).astype(np.uint64))
        swapped = np.random.default_rng(begin).random(keys.shape) < np.where(model == rows, 0, 0.01)[:, None]
        keys[swapped] = mix((rows[:, None] * 1000 + 500 + places).astype(np.uint64))[swapped]
        offsets = np.arange(len(rows) + 1) * 200
        save_array(folder / f"{begin // PART:05d}.npy", signatures(Words(keys.ravel(), offsets, offsets, offsets), CONFIG, 0))
        save_array(folder / f"{begin // PART:05d}.sizes.npy", rows % 5000)


def memory_bytes(field: str) -> int:
    """Return this process's memory: VmRSS now, VmHWM at its peak. `getrusage` would count the parent's before the exec."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def find_in_process(folder: Path, budget: int) -> None:
    """Find and choose, and print seconds and this process's memory at the start and at its peak."""
    start = memory_bytes("VmRSS")
    began = time.perf_counter()
    files = sorted(file for file in folder.glob("*.npy") if "sizes" not in file.name)
    clusters = find_clusters(files, CONFIG, folder / "work", budget)
    found = time.perf_counter() - began
    drops = choose(clusters, sorted(folder.glob("*.sizes.npy")), "longest", folder / "drops")
    figures = {"find_wall_s": found, "choose_wall_s": time.perf_counter() - began - found, "dropped": drops.dropped}
    print(json.dumps({**figures, "start_bytes": start, "peak_bytes": memory_bytes("VmHWM")}))


def measure_memory(counts: list[int], budgets: list[int]) -> list[dict[str, Any]]:
    figures = []
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            write_synthetic(Path(name), count)
            for budget in budgets:
                command = [sys.executable, __file__, "--find", name, "--budgets", str(budget)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                figures.append({"documents": count, "budget_bytes": budget, **json.loads(done.stdout)})
                # Another budget would find the result there.
                subprocess.run(["rm", "-r", f"{name}/work", f"{name}/drops"], check=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--corpus", type=Path, default=HERE.parent.parent / "shared" / "data" / "corpus", help="folder of .jsonl.gz"
    )
    parser.add_argument("--parts", nargs="+", choices=("rates", "quality", "memory"), default=["rates", "quality", "memory"])
    parser.add_argument("--documents", type=int, default=4000, help="documents for the rates")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers-python", help="a Python with datasketch and rensa")
    parser.add_argument("--datatrove-python", help="a Python with datatrove")
    parser.add_argument("--texts", type=int, default=10_000, help="texts in which copies are planted")
    parser.add_argument("--counts", type=int, nargs="+", default=[100_000, 300_000, 1_000_000], help="documents for the memory")
    parser.add_argument("--budgets", type=int, nargs="+", default=[1 << 30, 1 << 27], help="bytes that a task may take")
    parser.add_argument("--find", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=HERE / "near_dedup.json")
    arguments = parser.parse_args()
    if arguments.find:
        find_in_process(arguments.find, arguments.budgets[0])
        return
    peers = {name: (arguments.peers_python, 1000) for name in ("datasketch", "rensa") if arguments.peers_python}
    peers |= {"datatrove": (arguments.datatrove_python, 200)} if arguments.datatrove_python else {}
    sized = read_texts(arguments.corpus, 3000, 8000)[: arguments.documents]
    figures: dict[str, Any] = {}
    measures = {
        "rates": lambda: {**measure_rates(sized, arguments.rounds, peers), "on_equal_shingles": rensa_on_our_shingles(sized)},
        "quality": lambda: measure_quality(read_texts(arguments.corpus, 600, 20_000)[: arguments.texts]),
        "memory": functools.partial(measure_memory, arguments.counts, arguments.budgets),
    }
    for part in arguments.parts:
        figures[part] = measures[part]()
    record = {
        "command": "python benchmarks/near_dedup.py "
        + " ".join("PYTHON" if word.endswith("/python") else word for word in sys.argv[1:]),
        "commit": code_version(),
        "environment": environment(),
        "config": {**CONFIG.model_dump(), "least_equal": least_equal(CONFIG)},
        "figures": figures,
    }
    write_json(arguments.out, record)
    print(arguments.out.read_text())


if __name__ == "__main__":
    main()
