"""Best-fit packing of a million documents: time, memory, padding and cut documents beside plain windows; then tokens/s of reading.

    taskset -c 0 python benchmarks/packing.py

Lengths are log-normal (median 400 tokens, mean about 930). Reading takes turns with plain windows over the same source in memory.
"""

import argparse
import gc
import os
import statistics
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.batches.cross_lingual import CrossLingualOrder
from pellucid.batches.order import DataOrder
from pellucid.batches.packed import PackedOrder
from pellucid.batches.packing import cut_by_windows, pack_documents
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json

HERE = Path(__file__).parent


class MemorySource:
    """A source in memory; documents are of seven languages in turn."""

    def __init__(self, starts: np.ndarray) -> None:
        self.document_starts, self.tokens = starts, int(starts[-1])
        self._ids = np.random.default_rng(1).integers(1, 50_000, self.tokens, dtype=np.uint16)
        self._ids[starts[1:] - 1] = 0

    @property
    def document_languages(self) -> tuple[np.ndarray, tuple[str, ...]]:
        return np.arange(len(self.document_starts) - 1, dtype=np.int16) % 7, ("de", "en", "es", "fr", "it", "nl", "pt")

    def read(self, start: int, count: int) -> np.ndarray:
        return self._ids[start : start + count]

    def will_read(self, start: int, count: int) -> None:
        pass

    def metadata(self, documents: list[int]) -> list[dict[str, Any]]:
        return [{} for _ in documents]


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def lengths(documents: int) -> np.ndarray:
    drawn = np.random.default_rng(0).lognormal(np.log(400), 1.3, documents).astype(np.int64)
    return np.concatenate([[0], np.cumsum(np.clip(drawn, 1, 500_000))])


def measure_packing(documents: int, seq_tokens: int, repeats: int) -> dict[str, Any]:
    starts, cpu = lengths(documents), []
    for _ in range(repeats):
        gc.collect()
        used = time.process_time()
        packs = pack_documents(starts, seq_tokens + 1)
        cpu.append(time.process_time() - used)
    tracemalloc.start()
    pack_documents(starts, seq_tokens + 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = packs.start_N.nbytes + packs.length_N.nbytes + packs.continues_N.nbytes + packs.first_P1.nbytes
    return {
        "documents": documents,
        "tokens": int(starts[-1]),
        "seq_tokens": seq_tokens,
        "cpu_s": spread(cpu),
        "peak_bytes_per_document": peak / documents,
        "held_bytes_per_document": held / documents,
        "packs": packs.packs,
        "least_possible_packs": -(-int(starts[-1]) // (seq_tokens + 1)),
        "padding_tokens": packs.padding_tokens,
        "cut_documents": packs.cut_documents,
        "cut_documents_by_windows": cut_by_windows(starts, seq_tokens),
    }


def measure_reading(documents: int, seq_tokens: int, rounds: int, steps: int, batch_seqs: int) -> dict[str, Any]:
    streams, weights = {"only": MemorySource(lengths(documents))}, {"only": 1.0}
    orders = {
        "windows, causal": DataOrder(streams, weights, seq_tokens, 1),
        "windows, document": DataOrder(streams, weights, seq_tokens, 1, "document"),
        "best fit, causal": PackedOrder(streams, weights, seq_tokens, 1),
        "best fit, document": PackedOrder(streams, weights, seq_tokens, 1, "document"),
        "cross-lingual, 4 parts": CrossLingualOrder(streams, weights, seq_tokens, 1, 4),
    }
    rates: dict[str, list[float]] = {name: [] for name in orders}
    for turn in range(rounds + 1):
        for name, order in orders.items():
            gc.collect()
            used = time.process_time()
            for step in range(turn * steps, (turn + 1) * steps):
                order.batch(step, batch_seqs)
            if turn:
                rates[name].append(steps * batch_seqs * seq_tokens / (time.process_time() - used))
    figures = {name: spread(values) for name, values in rates.items()}
    return {"seq_tokens": seq_tokens, "batch_seqs": batch_seqs, "documents": documents, "tokens_per_cpu_s": figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--seq-tokens", type=int, nargs="+", default=[512, 2048, 4096])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "packing.json")
    args = parser.parse_args()
    packed = [measure_packing(count, seq, args.repeats) for count in args.documents for seq in args.seq_tokens]
    for row in packed:
        print(
            f"{row['documents']:>9} documents into {row['seq_tokens']:>5}: {row['cpu_s']['median']:.2f} s, "
            f"{row['padding_tokens'] / row['tokens']:.4%} padding, {row['cut_documents']} cut "
            f"(windows: {row['cut_documents_by_windows']})"
        )
    read = [measure_reading(50_000, seq, args.repeats, 40, 16) for seq in args.seq_tokens]
    for row in read:
        for name, rate in row["tokens_per_cpu_s"].items():
            print(f"{row['seq_tokens']:>5}  {name:25} {rate['median'] / 1e6:6.0f} M tokens/CPU s")
    write_json(
        args.out,
        {
            "command": "python " + " ".join(["benchmarks/packing.py", *sys.argv[1:]]),
            "code_version": code_version(),
            "environment": environment(),
            "load_average": os.getloadavg(),
            "packing": packed,
            "reading": read,
        },
    )


if __name__ == "__main__":
    main()
