"""Whitespace, length, exact dedup and encoding with Polars: the peer of `data_engine.py` on two cores.

Reads a JSON job on standard input, prints wall and CPU seconds and the number of tokens as JSON. Encoding is one call over the
whole column on two threads: tiktoken's, as most would write it, or quicktok's, which Pellucid itself uses, so that what is
compared is the rest. Nothing of Pellucid is imported.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import quicktok
import tiktoken
import tiktoken.load


def encode(job: dict[str, Any], work: Path, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    folder = Path(job["tokenizer"])
    if job["encoder"] == "tiktoken":
        pattern = json.loads((folder / "pellucid_tokenizer.json").read_text())["pattern"]
        ranks = tiktoken.load.load_tiktoken_bpe(str(folder / "ranks.tiktoken"))
        encoding = tiktoken.Encoding("corpus", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        rows = encoding.encode_ordinary_batch(texts, num_threads=2)
        return np.concatenate([np.array(row, dtype=np.uint32) for row in rows]), np.cumsum([0, *map(len, rows)])
    quicktok.import_tokenizer(str(folder / "tokenizer.json"), "corpus", data_dir=str(work / "quicktok"))
    ids, offsets = quicktok.get_encoding("corpus", str(work / "quicktok")).encode_batch(texts, 2)
    return np.asarray(ids), np.asarray(offsets)


def main() -> None:
    job = json.load(sys.stdin)
    work = Path(job["work"])
    (work / "quicktok").mkdir(parents=True)
    began = time.perf_counter()
    text = (
        pl.col("text")
        .str.normalize("NFC")
        .str.replace_all("\r\n?|\u2028|\u2029|\x85", "\n")
        .str.replace_all("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u00ad\ufeff]", "")
        .str.replace_all("[\u00a0\u2000-\u200a\u202f\u205f]", " ")
        .str.replace_all("(?m)[ \t]+$", "")
        .str.replace_all("\n{4,}", "\n\n\n")
    )
    frame = (
        pl.scan_ndjson(Path(job["corpus"]) / "*.jsonl", schema={"id": pl.String, "text": pl.String})
        .with_columns(text)
        .filter(pl.col("text").str.len_bytes() >= 200)
        .unique(subset="text", keep="first", maintain_order=True)
        .collect()
    )
    frame.write_parquet(work / "documents.parquet", compression="zstd")
    ids, offsets = encode(job, work, frame["text"].to_list())
    ids.astype(np.uint16).tofile(work / "tokens.bin")
    np.save(work / "starts.npy", offsets)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "wall_s": time.perf_counter() - began,
                "cpu_s": used.ru_utime + used.ru_stime,
                "documents": len(frame),
                "tokens": len(ids),
                "peak_rss_bytes": used.ru_maxrss * 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
