"""Held-out scores: CPU seconds and memory of the 5-gram baseline by training tokens, and CPU time of scoring by stride and batch.

The texts are those of corpora/pocket, or of ../shared/data/corpus where it is not built; 2 % by digest are held out. The n-gram
model is trained in a process of its own for each size, so that its peak memory is its own. Scoring is timed with the pocket preset
at random weights on --bytes-scored of the held-out text: its cost does not depend on what the weights are.
"""

import argparse
import gzip
import hashlib
import multiprocessing
import resource
import statistics
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import torch
import yaml

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.seeds import heldout
from pellucid.evals.compression import xz_compress
from pellucid.evals.heldout import Window, score_heldout, window_spans
from pellucid.evals.ngram import NgramModel, train_ngram
from pellucid.evals.records import HeldoutDocument
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.tokenizer.training import train_bpe

ROOT = Path(__file__).parents[1]
PRESET = ROOT / "src/pellucid/recipe/presets/pocket.yaml"


def read_corpus() -> tuple[str, list[HeldoutDocument]]:
    """Return the corpus's name and its documents, in the order of their digests."""
    pocket = sorted((ROOT / "corpora/pocket").rglob("*.parquet"))
    shared = sorted((ROOT.parent / "shared/data/corpus").glob("*.jsonl.gz"))
    if pocket:
        name, columns = "corpora/pocket", ["source", "language", "text"]
        tables = (pq.read_table(path, columns=columns) for path in pocket)
        rows = [tuple(row.values()) for table in tables for row in table.to_pylist()]
    elif shared:
        name = "shared corpus"
        parts = ((path.name.split("."), gzip.decompress(path.read_bytes()).splitlines()) for path in shared)
        rows = [(part[0], part[-3], orjson.loads(line)["text"]) for part, lines in parts for line in lines]
    else:
        sys.exit("no corpus: build corpora/pocket first")
    documents = [HeldoutDocument(hashlib.sha256(text.encode()).hexdigest(), s, lang, text) for s, lang, text in rows if text]
    return name, sorted(documents, key=lambda document: document.id)


def take(documents: list[HeldoutDocument], limit_bytes: int) -> list[HeldoutDocument]:
    sizes = np.cumsum([len(document.text.encode()) for document in documents])
    return documents[: int(np.searchsorted(sizes, limit_bytes, side="right"))]


def train_apart(tokens: np.ndarray, tokenizer: Tokenizer, pipe: Any) -> None:
    before = time.process_time()
    train_ngram(tokens, vocab_tokens=tokenizer.vocab_tokens, eos_id=tokenizer.eos_id)
    pipe.send((time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def cost_of_training(tokens: np.ndarray, tokenizer: Tokenizer, sizes: list[int]) -> list[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    costs = []
    for size in sizes:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=train_apart, args=(tokens[:size], tokenizer, sender))
        process.start()
        seconds, peak = receiver.recv()
        process.join()
        costs.append({"tokens": size, "cpu_s": round(seconds, 2), "peak_bytes": peak})
        print(costs[-1])
    return costs


def by_language(model: NgramModel, tokenizer: Tokenizer, documents: list[HeldoutDocument]) -> dict[str, dict[str, float]]:
    table = {}
    documents = sorted(documents, key=lambda document: document.language)
    for language, group in groupby(documents, lambda document: document.language):
        texts = [document.text for document in group]
        size = sum(len(text.encode()) for text in texts)
        bits = model.score_documents(*tokenizer.encode_batch(texts)).sum() / np.log(2)
        table[language] = {"ngram": round(bits / size, 4), "xz": round(xz_compress(texts).bits_per_byte, 4), "bytes": size}
    return table


def cost_of_scoring(tokenizer: Tokenizer, documents: list[HeldoutDocument], repeats: int) -> dict[str, Any]:
    config = ModelConfig(**yaml.safe_load(PRESET.read_text()))
    model = Decoder(config)
    init_weights(model, 1)
    lengths = np.diff(tokenizer.encode_batch([document.text for document in documents])[1]).tolist()
    rows = []
    cases = [(stride, batch_seqs) for stride in (512, 384, 256) for batch_seqs in (4, 16)]
    for stride, batch_seqs in cases:
        seconds = []
        for _ in range(repeats):
            before = time.process_time()
            score_heldout(
                model,
                tokenizer.encode_batch,
                tokenizer.eos_id,
                documents,
                window=Window(512, stride),
                batch_tokens=batch_seqs * 512,
            )
            seconds.append(time.process_time() - before)
        read = sum(end - start for tokens in lengths for start, end, _ in window_spans(tokens, Window(512, stride)))
        rows.append(
            {
                "stride_tokens": stride,
                "batch_seqs": batch_seqs,
                "tokens_read_per_scored": round(read / sum(lengths), 3),
                "cpu_us_per_scored_token": {
                    "median": round(1e6 * statistics.median(seconds) / sum(lengths), 1),
                    "min": round(1e6 * min(seconds) / sum(lengths), 1),
                    "max": round(1e6 * max(seconds) / sum(lengths), 1),
                    "runs": repeats,
                },
            }
        )
        print(rows[-1])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"preset": "pocket", "parameters": parameters, "seq_tokens": 512, "tokens": sum(lengths), "cases": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=50_000_000, help="training text")
    parser.add_argument("--bytes-scored", type=int, default=150_000, help="held-out text for timing the model")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    corpus, documents = read_corpus()
    held = [document for document in documents if heldout(document.id, 0.02)]
    train = take([document for document in documents if not heldout(document.id, 0.02)], args.bytes)
    tokenizer = train_bpe((document.text for document in train[::4]), 8192)
    flat, offsets = tokenizer.encode_batch([document.text for document in train])
    tokens = np.insert(flat, offsets[1:], tokenizer.eos_id).astype(np.uint16)
    sizes = [len(tokens) // 4, len(tokens) // 2, len(tokens)]
    training = cost_of_training(tokens, tokenizer, sizes)
    model = train_ngram(tokens, vocab_tokens=tokenizer.vocab_tokens, eos_id=tokenizer.eos_id)
    result = {
        "command": "python benchmarks/evals.py " + " ".join(sys.argv[1:]),
        "commit": code_version(),
        "environment": environment(),
        "config": {"corpus": corpus, "train_bytes": args.bytes, "vocab_tokens": 8192, "order": 5, "threads": 1},
        "ngram_training": training,
        "bits_per_byte_by_language": by_language(model, tokenizer, held),
        "scoring": cost_of_scoring(tokenizer, take(held, args.bytes_scored), args.repeats),
    }
    write_json(args.out, result)


if __name__ == "__main__":
    main()
