"""Near-duplicates with another library, in its ordinary use; called by near_dedup.py, imports nothing of Pellucid.

Prints as JSON the CPU seconds from texts to signatures, from there to the result, and how many documents look like an earlier one.
All take 5-word shingles and about 128 minima, and compare by bands for a similarity of .8.
"""

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Finish = Callable[[], int]
WORD = re.compile(r"\w+")


def shingles(text: str) -> set[str]:
    words = WORD.findall(text.lower())
    return {" ".join(words[place : place + 5]) for place in range(max(1, len(words) - 4))}


def datasketch(texts: list[str]) -> Finish:
    from datasketch import MinHash, MinHashLSH

    minhashes = []
    for text in texts:
        minhash = MinHash(num_perm=128)
        minhash.update_batch([shingle.encode() for shingle in shingles(text)])
        minhashes.append(minhash)

    def finish() -> int:
        index = MinHashLSH(threshold=0.8, num_perm=128)
        repeats = 0
        for number, minhash in enumerate(minhashes):
            repeats += bool(index.query(minhash))
            index.insert(number, minhash)
        return repeats

    return finish


def rensa(texts: list[str]) -> Finish:
    from rensa import RMinHash, RMinHashLSH

    minhashes = []
    for text in texts:
        minhash = RMinHash(num_perm=128, seed=42)
        minhash.update(list(shingles(text)))
        minhashes.append(minhash)

    def finish() -> int:
        index = RMinHashLSH(threshold=0.8, num_perm=128, num_bands=16)
        repeats = 0
        for number, minhash in enumerate(minhashes):
            repeats += any(minhash.jaccard(minhashes[other]) >= 0.71 for other in index.query(minhash))
            index.insert(number, minhash)
        return repeats

    return finish


def datatrove(texts: list[str]) -> Finish:
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets

    config = MinhashConfig(n_grams=5, num_buckets=25, hashes_per_bucket=5)
    folder = Path(tempfile.mkdtemp())
    documents = (Document(text=text, id=str(number)) for number, text in enumerate(texts))
    MinhashDedupSignature(str(folder / "signatures"), config).run(documents, 0, 1)

    def finish() -> int:
        for bucket in range(25):
            MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config).run(None, bucket, 25)
        MinhashDedupCluster(str(folder / "buckets"), str(folder / "removed"), config).run(None, 0, 1)
        return sum(file.stat().st_size // 4 for file in (folder / "removed").glob("*.remove"))

    return finish


PEERS: dict[str, Callable[[list[str]], Finish]] = {"datasketch": datasketch, "rensa": rensa, "datatrove": datatrove}


def main() -> None:
    name, file, count = sys.argv[1:]
    texts = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").split("\n")[: int(count)]]
    PEERS[name](texts[:3])()  # imports and tables are not what is measured
    began = time.process_time()
    finish = PEERS[name](texts)
    signed = time.process_time()
    repeats = finish()
    figures: dict[str, Any] = {"signatures_cpu_s": signed - began, "rest_cpu_s": time.process_time() - signed, "repeats": repeats}
    print(json.dumps({**figures, "documents": len(texts), "bytes": sum(len(text.encode()) for text in texts)}))


if __name__ == "__main__":
    main()
