"""Serve 4096-token sequences from shards on disk: tokens/s on one core, beside peers in the same run, and time to the first batch.

    taskset -c 0 python benchmarks/batches.py

Contestants take turns, round after round, on the same files (page cache warm); CPU time is what a busy machine disturbs least. All
hand over ids and targets as int64, of the same mixture of sources, except `pellucid uint16`, which stops at the stored type.
torchdata takes part when it is installed (`pip install --no-deps torchdata`).
"""

import argparse
import gc
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pellucid.batches.mixture import build_mixture
from pellucid.batches.order import DataOrder
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.shards.index import STARTS, ShardFile, ShardIndex
from pellucid.shards.stream import TokenStream

HERE = Path(__file__).parent
SEQ_TOKENS, DOCUMENT_TOKENS = 4096, 600
Serve = Callable[[int], Any]


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def write_source(folder: Path, tokens: int, *, files: int = 1, sparse: bool = False) -> TokenStream:
    """Write shards of random uint16 tokens in documents of equal length; sparse ones are all zeros and take no room."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(tokens)
    names = []
    for number, count in enumerate(np.diff(np.linspace(0, tokens, files + 1).astype(np.int64)).tolist()):
        names.append(ShardFile(f"{number:05d}.bin", count))
        with (folder / names[-1].name).open("wb") as file:
            if sparse:
                file.truncate(2 * count)
            else:
                rng.integers(1, 50_000, count, dtype=np.uint16).tofile(file)
    documents = tokens // DOCUMENT_TOKENS
    if sparse:
        starts = np.lib.format.open_memmap(folder / STARTS, mode="w+", dtype=np.int64, shape=(documents + 1,))
        starts[-1] = tokens
        starts.flush()
    else:
        np.save(folder / STARTS, np.append(np.arange(documents) * DOCUMENT_TOKENS, tokens))
    ShardIndex("uint16", tuple(names), tokens, documents, {"<|endoftext|>": documents}, 0).write(folder)
    return TokenStream(folder)


def raw_windows(order: DataOrder) -> Callable[[int, int], np.ndarray]:
    """Copy the same windows in the stored type."""

    def serve(step: int, batch_seqs: int) -> np.ndarray:
        source_B, _, _, start_B = order.locate(np.arange(step * batch_seqs, (step + 1) * batch_seqs))
        out = np.empty((batch_seqs, SEQ_TOKENS + 1), dtype=np.uint16)
        for row, (source, start) in enumerate(zip(source_B.tolist(), start_B.tolist(), strict=True)):
            out[row] = order.streams[source].read(start, SEQ_TOKENS + 1)
        return out

    return serve


def nanogpt(maps: list[np.ndarray], weights: np.ndarray, batch_seqs: int) -> Serve:
    """Random places of memory maps, copied, cast and stacked one by one, as nanoGPT's get_batch does."""
    rng = np.random.default_rng(0)

    def serve(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = [], []
        for source in rng.choice(len(maps), batch_seqs, p=weights):
            tokens = maps[source]
            at = int(rng.integers(len(tokens) - SEQ_TOKENS))
            x.append(torch.from_numpy(tokens[at : at + SEQ_TOKENS].astype(np.int64)))
            y.append(torch.from_numpy(tokens[at + 1 : at + 1 + SEQ_TOKENS].astype(np.int64)))
        return torch.stack(x), torch.stack(y)

    return serve


class Windows(torch.utils.data.Dataset[torch.Tensor]):
    """One source's windows as torch users write them."""

    def __init__(self, tokens: np.ndarray) -> None:
        self.tokens = tokens

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // SEQ_TOKENS

    def __getitem__(self, window: int) -> torch.Tensor:
        return torch.from_numpy(self.tokens[window * SEQ_TOKENS : (window + 1) * SEQ_TOKENS + 1].astype(np.int64))


def stepped(make: Callable[[], Iterator[torch.Tensor]]) -> Serve:
    """Take the next batch of an iterator for every step, beginning again at its end."""
    iterator = make()

    def serve(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal iterator
        try:
            tokens_BT = next(iterator)
        except StopIteration:
            iterator = make()
            tokens_BT = next(iterator)
        return tokens_BT[:, :-1], tokens_BT[:, 1:]

    return serve


def torch_loader(maps: list[np.ndarray], weights: np.ndarray, batch_seqs: int) -> Serve:
    sources = [Windows(tokens) for tokens in maps]
    each = np.concatenate([np.full(len(source), weight / len(source)) for source, weight in zip(sources, weights, strict=True)])
    sampler = torch.utils.data.WeightedRandomSampler(torch.from_numpy(each), 2**16)
    loader = torch.utils.data.DataLoader(torch.utils.data.ConcatDataset(sources), batch_size=batch_seqs, sampler=sampler)
    return stepped(lambda: iter(loader))


def torchdata_nodes(maps: list[np.ndarray], weights: np.ndarray, batch_seqs: int) -> Serve:
    from torchdata import nodes

    each = {}
    for number, tokens in enumerate(maps):
        source = Windows(tokens)
        sampler = torch.utils.data.RandomSampler(range(len(source)))
        each[str(number)] = nodes.Mapper(nodes.SamplerWrapper(sampler), source.__getitem__)
    shares = {str(number): float(weight) for number, weight in enumerate(weights)}
    mixed = nodes.MultiNodeWeightedSampler(each, shares, stop_criteria=nodes.StopCriteria.CYCLE_FOREVER)
    loader = nodes.Loader(nodes.Mapper(nodes.Batcher(mixed, batch_seqs), torch.stack))
    return stepped(lambda: iter(loader))


def contestants(streams: dict[str, TokenStream], batch_seqs: int, peers: bool) -> dict[str, Serve]:
    names = sorted(streams)
    weights = {name: 1.0 + number for number, name in enumerate(names)}
    causal = DataOrder(streams, weights, SEQ_TOKENS, 1)
    confined = DataOrder(streams, weights, SEQ_TOKENS, 1, "document")
    raw = raw_windows(causal)
    found: dict[str, Serve] = {
        "pellucid int64 ids and targets": lambda step: causal.batch(step, batch_seqs),
        "pellucid int64 with document masks and positions": lambda step: confined.batch(step, batch_seqs),
        "pellucid uint16": lambda step: raw(step, batch_seqs),
    }
    if not peers:
        return found
    maps = [np.memmap(streams[name].path / "00000.bin", dtype="<u2", mode="r") for name in names]
    shares = np.array([weights[name] for name in names]) / sum(weights.values())
    found["nanoGPT style"] = nanogpt(maps, shares, batch_seqs)
    found["torch DataLoader"] = torch_loader(maps, shares, batch_seqs)
    try:
        found["torchdata nodes"] = torchdata_nodes(maps, shares, batch_seqs)
    except ImportError:
        print("torchdata is not installed: left out", file=sys.stderr)
    return found


def measure(found: dict[str, Serve], rounds: int, steps: int, batch_seqs: int) -> dict[str, Any]:
    """Give each contestant its turn in every round; a batch is let go before the next is made, as in training."""
    tokens = steps * batch_seqs * SEQ_TOKENS
    cpu: dict[str, list[float]] = {name: [] for name in found}
    wall: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(rounds + 1):
        for name, serve in found.items():
            gc.collect()
            began, used = time.perf_counter(), time.process_time()
            for step in range(turn * steps, (turn + 1) * steps):
                serve(step)
            if turn:  # The first turn warms the page cache.
                cpu[name].append(tokens / (time.process_time() - used))
                wall[name].append(tokens / (time.perf_counter() - began))
    return {name: {"tokens_per_cpu_s": spread(cpu[name]), "tokens_per_wall_s": spread(wall[name])} for name in found}


def measure_start(folder: Path, tokens: int, files: int, repeats: int) -> dict[str, Any]:
    """Open a source, make the order, make a first batch of eight sequences nobody has read before: CPU seconds of each."""
    write_source(folder, tokens, files=files, sparse=True)
    seconds: dict[str, list[float]] = {"open": [], "order": [], "first_batch": [], "all": []}
    for seed in range(repeats):
        gc.collect()
        marks = [time.process_time()]
        stream = TokenStream(folder)
        marks.append(time.process_time())
        order = DataOrder({"only": stream}, {"only": 1.0}, SEQ_TOKENS, seed)
        marks.append(time.process_time())
        order.batch(0, 8)
        marks.append(time.process_time())
        for name, used in zip(seconds, [*np.diff(marks).tolist(), marks[-1] - marks[0]], strict=True):
            seconds[name].append(used)
    shutil.rmtree(folder)
    return {"tokens": tokens, "files": files, "cpu_s": {name: spread(values) for name, values in seconds.items()}}


def measure_mixture(sources: int, repeats: int) -> dict[str, Any]:
    weights = {str(number): 1.0 + number for number in range(sources)}
    cpu = []
    for _ in range(repeats):
        used = time.process_time()
        build_mixture(weights)
        cpu.append(time.process_time() - used)
    return {"sources": sources, "cpu_s": spread(cpu)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=200_000_000, help="tokens of the corpus that is written")
    parser.add_argument("--sources", type=int, nargs="+", default=[1, 28])
    parser.add_argument(
        "--batch-seqs", type=int, nargs="+", default=[16, 64], help="sequences a batch; peers take part in the last"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=96, help="batches of the largest size a round; smaller ones get more")
    parser.add_argument("--folder", type=Path, help="where the corpus is written and deleted again; the system's own if not given")
    parser.add_argument("--out", type=Path, default=HERE / "batches.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        started = [(10**6, 1), (10**8, 1), (10**11, 1), (10**11, 1000)]
        start = [measure_start(root / "start", tokens, files, 9) for tokens, files in started]
        served = []
        for sources in args.sources:
            folder = root / f"{sources}-sources"
            streams = {f"s{n:02d}": write_source(folder / f"s{n:02d}", args.tokens // sources) for n in range(sources)}
            for batch_seqs in args.batch_seqs:
                steps = args.batches * max(args.batch_seqs) // batch_seqs
                found = contestants(streams, batch_seqs, peers=batch_seqs == args.batch_seqs[-1])
                figures = measure(found, args.rounds, steps, batch_seqs)
                served.append({"sources": sources, "batch_seqs": batch_seqs, "batches_per_round": steps, "figures": figures})
                for name, figure in figures.items():
                    rate = figure["tokens_per_cpu_s"]
                    print(
                        f"{sources:3} sources  {batch_seqs:3} × 4096  {name:50} {rate['median'] / 1e6:7.0f} M tokens/CPU s",
                        flush=True,
                    )
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(root)
    versions = {name: metadata.version(name) for name in ("numpy", "torch", "torchdata") if _installed(name)}
    write_json(
        args.out,
        {
            "command": "python " + " ".join(["benchmarks/batches.py", *sys.argv[1:]]),
            "code_version": code_version(),
            "environment": environment(),
            "versions": versions,
            "config": {"seq_tokens": SEQ_TOKENS, "corpus_tokens": args.tokens, "rounds": args.rounds, "threads": 1},
            "load_average": os.getloadavg(),
            "served": served,
            "time_to_first_batch": start,
            "mixture": [measure_mixture(sources, 9) for sources in (1, 30)],
        },
    )


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


if __name__ == "__main__":
    main()
