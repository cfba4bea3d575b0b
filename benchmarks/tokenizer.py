"""Tokenizer: MB/s of one core against tiktoken, bytes per token by language, and seconds for documents without a word.

Rates are UTF-8 megabytes per second of CPU time in one thread. Each repeat times all encoders one after another on the same texts,
and the ratio is taken within the repeat, so a noisy machine blurs the rates more than the ratios. The texts are those of
corpora/pocket, or of ../shared/data/corpus where it is not built; every n-th document is taken up to --bytes. The held-out
documents (2 % by digest) are kept from vocabulary training, and bytes per token are counted on them alone.
"""

import argparse
import gzip
import hashlib
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import tiktoken

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.seeds import heldout
from pellucid.tokenizer.arcade import arcade100k
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.tokenizer.training import train_bpe

ROOT = Path(__file__).parents[1]

# tiktoken's own present spelling of cl100k, with single digits. Its pieces differ from ours only in blanks at a text's end.
POSSESSIVE = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"

WORDLESS = {"one letter": "a", "blanks": " ", "line ends": "\n", "digits": "7", "marks": "!", "ideographs": "中", "NUL": "\0"}


def read_corpus() -> tuple[str, Iterator[tuple[str, str]]]:
    """Return the corpus's name and its (language, text) pairs."""
    pocket = sorted((ROOT / "corpora/pocket").rglob("*.parquet"))
    if pocket:
        tables = (pq.read_table(path, columns=["language", "text"]) for path in pocket)
        rows = (zip(table["language"].to_pylist(), table["text"].to_pylist(), strict=True) for table in tables)
        return "corpora/pocket", (row for table in rows for row in table)
    files = sorted((ROOT.parent / "shared/data/corpus").glob("*.jsonl.gz"))
    if not files:
        sys.exit("no corpus: build corpora/pocket first")
    return "shared corpus", ((path.name.split(".")[-3], orjson.loads(line)["text"]) for path in files for line in gzip.open(path))


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def race(tokenizer: Tokenizer, texts: list[str], repeats: int) -> dict[str, Any]:
    """Time our batch encoder and tiktoken with both spellings of the pattern, in turn, after one round that compares ids."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    same = tiktoken.Encoding("same", pat_str=tokenizer.pattern, mergeable_ranks=tokenizer.ranks, special_tokens={})
    possessive = tiktoken.Encoding("possessive", pat_str=POSSESSIVE, mergeable_ranks=tokenizer.ranks, special_tokens={})
    ids, offsets = tokenizer.encode_batch(texts)
    differing = sum(same.encode_ordinary(text) != ids[offsets[i] : offsets[i + 1]].tolist() for i, text in enumerate(texts))
    work: dict[str, Callable[[], Any]] = {
        "pellucid": lambda: tokenizer.encode_batch(texts),
        "tiktoken_same_pattern": lambda: [same.encode_ordinary(text) for text in texts],
        "tiktoken_possessive_pattern": lambda: [possessive.encode_ordinary(text) for text in texts],
    }
    rates = defaultdict(list)
    for _ in range(repeats):
        for name, encode in work.items():
            began = time.process_time()
            encode()
            rates[name].append(megabytes / (time.process_time() - began))
    ratios = {
        f"times_{name}": spread([ours / theirs for ours, theirs in zip(rates["pellucid"], rates[name], strict=True)])
        for name in list(work)[1:]
    }
    figures = {"megabytes": megabytes, "documents": len(texts), "documents_that_differ_from_tiktoken": differing}
    return figures | {f"{name}_mb_per_s": spread(values) for name, values in rates.items()} | ratios


def bytes_per_token(tokenizer: Tokenizer, rows: list[tuple[str, str]]) -> dict[str, dict[str, float]]:
    """Return fertility by language: UTF-8 bytes of the held-out text divided by its tokens."""
    by_language = defaultdict(list)
    for language, text in rows:
        by_language[language].append(text)
    counts = {}
    for language, texts in sorted(by_language.items()):
        size, tokens = sum(len(text.encode()) for text in texts), len(tokenizer.encode_batch(texts)[0])
        counts[language] = {"bytes": size, "tokens": tokens, "bytes_per_token": size / tokens}
    return counts


def seconds_without_words(tokenizer: Tokenizer, size: int) -> dict[str, float]:
    """Time one document of `size` bytes for each kind of run without a word; the first texts are behind the encoder by then."""
    seconds = {}
    for name, unit in WORDLESS.items():
        text = unit * (size // len(unit.encode()))
        began = time.process_time()
        tokenizer.encode_batch([text])
        seconds[name] = time.process_time() - began
    letters = np.random.default_rng(0).integers(97, 123, size, dtype=np.uint8).tobytes().decode()
    began = time.process_time()
    tokenizer.encode_batch([letters])
    return seconds | {"random letters": time.process_time() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bytes", type=float, default=50e6, help="text to encode in each round")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    corpus, rows = read_corpus()
    documents = list(rows)
    held = [heldout(hashlib.sha256(text.encode()).hexdigest(), 0.02) for _, text in documents]
    unseen = [row for row, out in zip(documents, held, strict=True) if out]
    step = max(1, round(sum(len(text.encode()) for _, text in documents) / options.bytes))
    began = time.process_time()
    trained = train_bpe((text for (_, text), out in zip(documents, held, strict=True) if not out), 8192)
    training_s = time.process_time() - began
    texts = [text for _, text in documents[::step]]
    figures: dict[str, Any] = {}
    for name, tokenizer in (("arcade100k", arcade100k()), ("trained_8192", trained)):
        figures[name] = race(tokenizer, texts, options.repeats)
        figures[name]["heldout_bytes_per_token"] = bytes_per_token(tokenizer, unseen)
        figures[name]["cpu_s_for_50_megabytes_without_words"] = seconds_without_words(tokenizer, 50_000_000)
    figures["trained_8192"]["training"] = {"cpu_s": training_s, "megabytes": sum(len(text.encode()) for _, text in documents) / 1e6}
    record = {
        "command": "python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": code_version(),
        "environment": environment(),
        "config": {"corpus": corpus, "every_nth_document": step, "threads": 1, "heldout_frac": 0.02, "pattern": trained.pattern},
        "figures": figures,
    }
    write_json(options.out, record)
    for name in ("arcade100k", "trained_8192"):
        ratio = figures[name]["times_tiktoken_same_pattern"]
        print(f"{name}: {ratio['median']:.2f}× tiktoken ({ratio['min']:.2f}–{ratio['max']:.2f})")


if __name__ == "__main__":
    main()
