"""datatrove's own steps over a folder of jsonl files, in one process: the peer of `data_engine.py`, for a Python with datatrove.

Reads a JSON job on standard input (corpus, benchmarks as n-gram texts, tokenizer.json, lid.176 model, work folder); prints
seconds of CPU and what was left, as JSON, on the last line. Nothing of Pellucid is imported here.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("DATATROVE_COLORIZE_LOGS", "0")

import datatrove.utils.lid as lid
import numpy as np
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.decont import NGramsDecontFilter
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontIndexer
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig, ExactDedupFilter, ExactDedupSignature, ExactFindDedups
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter


def run(name: str, steps: list[object], work: Path, seconds: dict[str, float]) -> None:
    began = time.process_time()
    LocalPipelineExecutor(pipeline=steps, tasks=1, workers=1, logging_dir=str(work / "logs" / name), skip_completed=False).run()
    seconds[name] = time.process_time() - began


def index_benchmarks(job: dict[str, object], folder: Path) -> NGramsDecontConfig:
    """Write the n-gram hashes that datatrove's filter reads; its indexer's own `run` wants lighteval's tasks beside them."""
    config = NGramsDecontConfig(n_grams=13)
    indexer = object.__new__(NGramsDecontIndexer)
    indexer.config = config
    from datatrove.utils.hashing import create_hash_func
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    indexer.tokenizer, indexer.hash_func = load_word_tokenizer("eng"), create_hash_func(config.hash_config)
    hashes = {number for text in job["questions"] for number in indexer.compute_hashes(text)}
    folder.mkdir(parents=True)
    np.array(sorted(hashes), dtype=config.hash_config.np_descr).tofile(folder / "planted.index.hashes")
    return config


def main() -> None:
    job = json.load(sys.stdin)
    work = Path(job["work"])
    seconds: dict[str, float] = {}
    began = time.process_time()
    contamination = index_benchmarks(job, work / "benchmarks")
    seconds["index of benchmarks"] = time.process_time() - began
    language = LanguageFilter(languages=["en"])
    lid.cached_asset_path_or_download = lambda *_, **__: job["lid_model"]  # the model file that is there, in place of a download
    filters = [
        language,
        GopherQualityFilter(),
        GopherRepetitionFilter(),
        C4QualityFilter(),
        FineWebQualityFilter(),
        NGramsDecontFilter(str(work / "benchmarks"), contamination),
    ]
    run(
        "filters",
        [JsonlReader(job["corpus"], glob_pattern="*.jsonl"), *filters, JsonlWriter(str(work / "filtered"), compression=None)],
        work,
        seconds,
    )
    exact = ExactDedupConfig(content_getter=lambda document: document.text)
    run("exact: signatures", [JsonlReader(str(work / "filtered")), ExactDedupSignature(str(work / "e1"), exact)], work, seconds)
    run("exact: find", [ExactFindDedups(str(work / "e1"), str(work / "e2"), exact)], work, seconds)
    run(
        "exact: filter",
        [
            JsonlReader(str(work / "filtered")),
            ExactDedupFilter(str(work / "e2"), exact),
            JsonlWriter(str(work / "exact"), compression=None),
        ],
        work,
        seconds,
    )
    near = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    run("near: signatures", [JsonlReader(str(work / "exact")), MinhashDedupSignature(str(work / "n1"), near)], work, seconds)
    for bucket in range(near.num_buckets):
        began = time.process_time()
        MinhashDedupBuckets(str(work / "n1"), str(work / "n2"), config=near).run(None, bucket, near.num_buckets)
        seconds["near: buckets"] = seconds.get("near: buckets", 0) + time.process_time() - began
    run("near: clusters", [MinhashDedupCluster(str(work / "n2"), str(work / "n3"), config=near)], work, seconds)
    run(
        "near: filter and encode",
        [
            JsonlReader(str(work / "exact")),
            MinhashDedupFilter(str(work / "n3")),
            DocumentTokenizer(
                str(work / "tokens"), tokenizer_name_or_path=job["tokenizer"], eos_token=job["eos"], shuffle_documents=False
            ),
        ],
        work,
        seconds,
    )
    documents = {name: sum(1 for file in (work / name).glob("*.jsonl") for _ in file.open()) for name in ("filtered", "exact")}
    tokens = sum(file.stat().st_size for file in (work / "tokens").rglob("*.ds")) // 2
    print(json.dumps({"cpu_s": seconds, "documents": documents, "tokens": tokens}))


if __name__ == "__main__":
    main()
