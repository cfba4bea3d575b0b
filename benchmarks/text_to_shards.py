"""Raw text → documents → shards → windows: seconds, MB/s, tokens/s, and peak memory, on about 50 MB of real text."""

import argparse
import functools
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.documents.prepare import prepare_documents
from pellucid.documents.store import iter_split
from pellucid.documents.streams import chunks
from pellucid.recipe.data import ShardsConfig, SourceConfig
from pellucid.recipe.documents import DocumentsConfig
from pellucid.shards.index import ShardFile, ShardIndex
from pellucid.shards.stream import TokenStream
from pellucid.shards.writer import write_shards
from pellucid.tokenizer.arcade import arcade100k
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.tokenizer.training import train_bpe

HERE = Path(__file__).parent


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def timed(repeats: int, work: Callable[[], Any]) -> tuple[dict[str, dict[str, float]], Any]:
    wall, cpu, result = [], [], None
    for _ in range(repeats):
        began, used = time.perf_counter(), time.process_time()
        result = work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return {"wall_s": spread(wall), "cpu_s": spread(cpu)}, result


def choose_sources(corpus: Path, limit: int) -> tuple[list[SourceConfig], int]:
    """Take whole files in the order of their names while they fit, so that all languages and kinds are in."""
    sources, total = [], 0
    for file in sorted(corpus.glob("*.jsonl.gz")):
        size = sum(map(len, chunks(str(file))))
        if total + size <= limit:
            total += size
            name = file.name.removesuffix(".jsonl.gz")
            sources.append(SourceConfig(name=name, path=file.name, weight=1, category="Web"))
    return sources, total


def write_all(documents: Path, names: list[str], tokenizer: Tokenizer, threads: int, out: Path) -> int:
    encode = functools.partial(tokenizer.encode_batch, threads=threads)
    specials = (tokenizer.eos_id, tokenizer.vocab_tokens, tokenizer.special)
    tokens = 0
    for name in names:
        for split in ("train", "heldout"):
            texts = iter_split(documents, name, split)
            config = ShardsConfig(max_special_frac=0.2)
            tokens += write_shards(texts, encode, *specials, config, out / name / split).tokens
    return tokens


def measure_windows(folder: Path, seq_tokens: int, repeats: int) -> dict[str, Any]:
    """Serve windows of seq_tokens + 1 tokens in random order from a split of 200 M tokens, in one file and in twenty."""
    figures = {}
    for files in (1, 20):
        out = folder / f"windows-{files}"
        out.mkdir()
        rng = np.random.default_rng(0)
        each = 200_000_000 // files
        for number in range(files):
            rng.integers(0, 8192, each, dtype=np.uint16).tofile(out / f"{number:05d}.bin")
        names = tuple(ShardFile(f"{number:05d}.bin", each) for number in range(files))
        ShardIndex("uint16", names, each * files, 1, {"<|endoftext|>": 1}, 0).write(out)
        stream = TokenStream(out)
        windows = (stream.tokens - 1) // seq_tokens
        for batch in (1, 8, 64):
            starts = rng.integers(0, windows, (4096 // batch, batch)) * seq_tokens

            def serve(starts: np.ndarray = starts, stream: TokenStream = stream) -> None:
                for row in starts:
                    stream.read_many(row, seq_tokens + 1)

            serve()  # the pages are in memory; the disk is not what is measured
            timing, _ = timed(repeats, serve)
            rates = {key: 4096 * seq_tokens / timing["cpu_s"][key] for key in ("median", "min", "max")}
            figures[f"{files} files, batch {batch}"] = {
                "tokens_per_cpu_s": {"median": rates["median"], "min": rates["max"], "max": rates["min"]}
            }
        opened, _ = timed(repeats, lambda out=out: TokenStream(out))
        figures[f"{files} files, open"] = opened["cpu_s"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--corpus", type=Path, default=HERE.parent.parent / "shared" / "data" / "corpus", help="folder of .jsonl.gz"
    )
    parser.add_argument("--bytes", type=int, default=52_000_000, help="how much of it, unpacked")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "text_to_shards.json")
    arguments = parser.parse_args()
    sources, total = choose_sources(arguments.corpus, arguments.bytes)
    names = [source.name for source in sources]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare = functools.partial(prepare_documents, sources, arguments.corpus, DocumentsConfig(), work / "documents")
        figures["documents"], funnel = timed(arguments.repeats, prepare)
        kept = [account.as_json() for account in funnel.sources.values()]
        text_bytes = sum(account["kept_bytes"] + account["heldout_bytes"] for account in kept)
        texts = (document.text for name in names for document in iter_split(work / "documents", name, "train", ("text",)))
        for label, tokenizer in (("bpe-8192", train_bpe(texts, 8192)), ("arcade100k", arcade100k())):
            for threads in (1, 2):
                write = functools.partial(write_all, work / "documents", names, tokenizer, threads, work / "shards")
                timing, tokens = timed(arguments.repeats, write)
                figures[f"shards, {label}, {threads} thread(s)"] = {**timing, "tokens": tokens}
        figures["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        figures["windows"] = measure_windows(work, 4096, arguments.repeats)
    record = {
        "command": "python benchmarks/text_to_shards.py " + " ".join(sys.argv[1:]),
        "commit": code_version(),
        "environment": environment(),
        "config": {"sources": len(sources), "raw_bytes": total, "text_bytes": text_bytes, "seq_tokens": 4096},
        "figures": figures,
        "peers": {"plain process pool, 2 workers, 50 MB": {"wall_s": 4.9, "where": "STACK.md, quiet machine of the same kind"}},
    }
    write_json(arguments.out, record)
    print(arguments.out.read_text())


if __name__ == "__main__":
    main()
