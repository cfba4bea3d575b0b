"""Where do a few tokens in a row stand in a split? An index of every fourth place by the five tokens that begin there.

Eight tokens in a row hold one of these places with its five tokens, wherever they stand, so whatever eight tokens two texts have in
common is found from it, and nothing else has to be kept: a fourth of the places, as 32-bit numbers sorted by a hash of their
tokens, and where the places of each hash begin. That is about 1.3 bytes for a token of the split. The hash only leads to places;
whoever asks compares the tokens themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from pellucid.core.errors import ArtifactError, CannotDoError
from pellucid.core.hashing import GOLDEN, mix
from pellucid.shards.stream import TokenStream

__all__ = ["GRAM_TOKENS", "SHORTEST_TOKENS", "NgramIndex", "NotWantedError", "build_index", "hash_grams"]

GRAM_TOKENS = 5
STRIDE_TOKENS = 4
SHORTEST_TOKENS = GRAM_TOKENS + STRIDE_TOKENS - 1

_PLACES = "places.u4"
_BUCKETS = "buckets.u4"
_CHUNK = 1 << 20
_IN_MEMORY = 1 << 22
_MOST_PARTS = 256
_LOW = np.uint64(0xFFFFFFFF)


class NotWantedError(Exception):
    """Whoever asked has gone: what was under way is given up."""


def hash_grams(tokens_T: NDArray[np.integer], step: int = 1) -> NDArray[np.uint64]:
    """Return the hashes of the runs of `GRAM_TOKENS` tokens that begin at every `step`-th token (uint64); none where T is less."""
    grams = max(0, (len(tokens_T) - GRAM_TOKENS) // step + 1)
    hash_G = np.zeros(grams, np.uint64)
    if grams:
        for at in range(GRAM_TOKENS):
            hash_G = hash_G * GOLDEN + tokens_T[at : at + (grams - 1) * step + 1 : step].astype(np.uint64)
    return mix(hash_G)


def build_index(
    stream: TokenStream, out: Path, advance: Callable[[float], None] | None = None, is_wanted: Callable[[], bool] | None = None
) -> None:
    """Write the index of a split into the folder `out`. Memory is bounded: parts are sorted one by one.

    `advance` is told of tokens that are done. Raises `NotWantedError` once `is_wanted()` is false, `CannotDoError` for a split
    whose places do not fit into 32 bits (17 thousand million tokens).
    """
    samples = _samples(stream)
    if samples > _LOW:
        limit = int(_LOW) * STRIDE_TOKENS
        raise CannotDoError(f"{stream.path} holds {stream.tokens} tokens; an index of n-grams holds at most {limit} of a source")
    bits = _bits(samples)
    part_bits = min(bits, max(0, min(_MOST_PARTS.bit_length() - 1, (samples // _IN_MEMORY).bit_length())))
    out.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(dir=out, prefix=".", suffix=".part") as temporary,
        (out / _PLACES).open("wb") as places,
        (out / _BUCKETS).open("wb") as buckets,
    ):
        parts = [Path(temporary, f"{number:03}") for number in range(1 << part_bits)]
        for begin in range(0, samples, _CHUNK):
            if is_wanted is not None and not is_wanted():
                raise NotWantedError(f"the index of n-grams in {out} was not finished")
            count = min(_CHUNK, samples - begin)
            _scatter(stream, begin, count, bits, parts)
            if advance is not None:
                advance(count * STRIDE_TOKENS)
        written = 0
        for part in parts:
            key_P = np.sort(np.fromfile(part, np.uint64)) if part.exists() else np.empty(0, np.uint64)
            ends = written + np.cumsum(np.bincount((key_P >> np.uint64(32)).astype(np.int64), minlength=1 << (bits - part_bits)))
            buckets.write(np.concatenate(([written], ends[:-1])).astype("<u4").tobytes())
            places.write((key_P & _LOW).astype("<u4").tobytes())
            written = int(ends[-1])
            part.unlink(missing_ok=True)
        buckets.write(np.array([written], "<u4").tobytes())


def _scatter(stream: TokenStream, begin: int, count: int, bits: int, parts: list[Path]) -> None:
    """Append places begin … begin + count to the files of their parts, as (bucket within the part) · 2³² + place."""
    tokens = stream.read(begin * STRIDE_TOKENS, (count - 1) * STRIDE_TOKENS + GRAM_TOKENS)
    bucket_G = hash_grams(tokens, STRIDE_TOKENS) >> np.uint64(64 - bits)
    inner = bits - (len(parts).bit_length() - 1)
    part_G = (bucket_G >> np.uint64(inner)).astype(np.int64)
    key_G = (bucket_G & np.uint64((1 << inner) - 1)) << np.uint64(32) | np.arange(begin, begin + count, dtype=np.uint64)
    sorted_G = key_G[np.argsort(part_G, kind="stable")] if len(parts) > 1 else key_G
    ends = np.cumsum(np.bincount(part_G, minlength=len(parts))).tolist()
    for part, first, last in zip(parts, [0, *ends], ends, strict=False):
        if last > first:
            with part.open("ab") as file:
                file.write(sorted_G[first:last].tobytes())


def _samples(stream: TokenStream) -> int:
    return max(0, (stream.tokens - GRAM_TOKENS) // STRIDE_TOKENS + 1)


def _bits(samples: int) -> int:
    """Buckets of two to four places each: what is kept for them is then less than the places."""
    return max(8, samples.bit_length() - 2)


@dataclass(frozen=True)
class NgramIndex:
    """The index of one split, memory-mapped: opening it costs nothing."""

    stream: TokenStream
    buckets: NDArray[np.uint32]
    places: NDArray[np.uint32]

    @staticmethod
    def open(folder: Path, stream: TokenStream) -> "NgramIndex":
        """Open what `build_index` wrote; raise `ArtifactError` when it is missing, cut short, or not of this split."""
        samples = _samples(stream)
        expected = {_BUCKETS: (1 << _bits(samples)) + 1, _PLACES: samples}
        found = []
        for name, count in expected.items():
            path = folder / name
            held = path.stat().st_size if path.is_file() else None
            if held != 4 * count:
                what = "is missing" if held is None else f"has {held} bytes"
                raise ArtifactError(f"{path} {what}; the index of {stream.path} has {4 * count}; delete {folder.parent}")
            found.append(np.asarray(np.memmap(path, "<u4", mode="r")) if count else np.empty(0, np.uint32))
        return NgramIndex(stream, *found)

    def ranges(self, hash_G: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return, for each hash, the range of `places` that may begin with its tokens: first and end (int64, G)."""
        bits = (len(self.buckets) - 1).bit_length() - 1
        bucket_G = (hash_G >> np.uint64(64 - bits)).astype(np.int64)
        return self.buckets[bucket_G].astype(np.int64), self.buckets[bucket_G + 1].astype(np.int64)

    def tokens_at(self, first: int, end: int) -> NDArray[np.int64]:
        """Return the tokens of the split at which the places of a range begin (int64)."""
        return self.places[first:end].astype(np.int64) * STRIDE_TOKENS
