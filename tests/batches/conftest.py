"""A source held in memory, so that laws can be tried on thousands of mixtures; the shards' own stream is tried in test_order."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

EOS = 0


@dataclass(frozen=True)
class MemoryStream:
    ids: NDArray[np.uint16]
    document_starts: NDArray[np.int64]
    languages: tuple[str, ...] = ("en",)

    @property
    def document_languages(self) -> tuple[NDArray[np.int16], tuple[str, ...]]:
        """Documents speak the languages in turn."""
        return np.arange(len(self.document_starts) - 1, dtype=np.int16) % len(self.languages), self.languages

    @property
    def tokens(self) -> int:
        return len(self.ids)

    def will_read(self, start: int, count: int) -> None:
        assert start >= 0 and start + count <= self.tokens

    def read(self, start: int, count: int) -> NDArray[np.uint16]:
        assert start >= 0
        assert start + count <= self.tokens
        return self.ids[start : start + count]

    def metadata(self, documents: list[int]) -> list[dict[str, Any]]:
        return [{"id": f"doc{n}", "language": "en", "licence": "CC0-1.0", "origin": "made up", "digest": "x"} for n in documents]


@pytest.fixture(scope="session")
def make_stream() -> Callable[..., MemoryStream]:
    """Make a stream of documents with these lengths in tokens (the last of each is EOS), in these languages in turn."""

    def make(*lengths: int, seed: int = 0, languages: tuple[str, ...] = ("en",)) -> MemoryStream:
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        ids = np.random.default_rng(seed).integers(EOS + 1, 60_000, starts[-1], dtype=np.uint16)
        for _, end in pairwise(starts):
            ids[end - 1] = EOS
        return MemoryStream(ids, starts, languages)

    return make
