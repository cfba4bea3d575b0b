"""What looking an answer up in the training data costs: making the index once, then each look-up, by the tokens of the corpus.

python benchmarks/training_matches.py --tokens 1e6 1e7 1e8

The corpora are drawn: words of a Zipf law over 32 000 ids (exponent 1), in documents of 800 tokens, with a phrase of six tokens in
every hundredth and one of twelve in every thousandth. Answers of 512 tokens hold the first phrase, a cut of 40 tokens of one
document, and words of the same law otherwise, so that common n-grams are asked for as well. Every look-up is checked: the cut must
be found.
"""

import argparse
import resource
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.progress import track
from pellucid.shards.index import DOCUMENTS, STARTS, ShardFile, ShardIndex
from pellucid.shards.ngrams import NgramIndex, build_index
from pellucid.shards.stream import TokenStream
from pellucid.shards.verbatim import find_runs

VOCAB, DOCUMENT, ANSWER, CUT, SHARD = 32_000, 800, 512, 40, 100_000_000


def draw(generator: np.random.Generator, count: int) -> np.ndarray:
    """Return ids of a Zipf law: the k-th commonest has a share of about 1 / k."""
    return np.minimum(np.exp(generator.random(count) * np.log(VOCAB)), VOCAB - 1).astype("<u2")


def write_corpus(folder: Path, tokens: int, seed: int) -> TokenStream:
    """Write a split's tokens and document starts; documents' names are of no account here."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    phrases = [draw(generator, 6), draw(generator, 12)]
    files, documents = [], tokens // DOCUMENT
    for number, begin in enumerate(range(0, documents, SHARD // DOCUMENT)):
        count = min(SHARD // DOCUMENT, documents - begin)
        name = f"{number:05}.bin"
        with (folder / name).open("wb") as file:
            for first in range(0, count, 1 << 13):
                rows = min(1 << 13, count - first)
                ids = draw(generator, rows * DOCUMENT).reshape(rows, DOCUMENT)
                ids[::100, 100:106] = phrases[0]
                ids[::1000, 200:212] = phrases[1]
                ids[:, -1] = 0
                file.write(ids.tobytes())
        files.append(ShardFile(name, count * DOCUMENT))
    np.save(folder / STARTS, np.arange(documents + 1, dtype=np.int64) * DOCUMENT)
    (folder / DOCUMENTS).touch()
    ShardIndex("uint16", tuple(files), documents * DOCUMENT, documents, {}, 0).write(folder)
    return TokenStream(folder)


def answer_of(stream: TokenStream, generator: np.random.Generator) -> tuple[list[int], int]:
    """Return an answer, and where in it the cut of a document begins."""
    document = int(generator.integers(stream.documents))
    cut = stream.read(document * DOCUMENT + 300, CUT).tolist()
    begin = int(generator.integers(ANSWER - CUT))
    ids = draw(generator, ANSWER).tolist()
    common = stream.read(100, 6).tolist()
    ids[:6] = common
    ids[begin : begin + CUT] = cut
    return ids, begin


def measure(tokens: int, lookups: int, folder: Path) -> dict[str, float]:
    """Measure one size."""
    stream = write_corpus(folder / "train", tokens, 1)
    began = time.perf_counter()
    build_index(stream, folder / "index")
    build_s = time.perf_counter() - began
    index = NgramIndex.open(folder / "index", stream)
    generator, seconds = np.random.default_rng(2), []
    for _ in track(range(lookups), f"Look-ups in {tokens:.0e} tokens", lookups):
        ids, begin = answer_of(stream, generator)
        began = time.perf_counter()
        found = find_runs(ids, [index])
        seconds.append(time.perf_counter() - began)
        assert found.complete and any(run.begin <= begin and begin + CUT <= run.end for run in found.runs), "the cut is found"
    return {
        "tokens": stream.tokens,
        "shard_bytes": sum(file.stat().st_size for file in (folder / "train").glob("*.bin")),
        "index_bytes": sum(file.stat().st_size for file in (folder / "index").iterdir()),
        "build_s": build_s,
        "first_lookup_s": seconds[0],
        "lookup_median_s": statistics.median(seconds),
        "lookup_longest_s": max(seconds),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    """Measure every size, and write or print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=float, nargs="+", default=[1e6, 1e7, 1e8])
    parser.add_argument("--lookups", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for tokens in arguments.tokens:
        with TemporaryDirectory(prefix="pellucid-matches-") as folder:
            rows.append(measure(int(tokens), arguments.lookups, Path(folder)))
        print({name: round(value, 5) for name, value in rows[-1].items()}, flush=True)
    if arguments.json:
        facts = {"answer_tokens": ANSWER, "cut_tokens": CUT, "lookups": arguments.lookups, "sizes": rows}
        write_json(arguments.json, {"code_version": code_version(), "environment": environment(), **facts})


if __name__ == "__main__":
    main()
