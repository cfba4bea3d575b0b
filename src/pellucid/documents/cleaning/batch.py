"""The documents that pass through the cleaning steps together, as columns, and what has become of each."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["TextBatch"]


class TextBatch:
    """N documents between reading and deduplication. Steps work on all of them at once; those already dropped may be looked at too.

    `texts` and `languages` change as steps repair and identify; `alive_N` says who is still there; `reasons` and `details` say why
    the others are not. `edits` counts what was changed without dropping, under a name for each kind of change. `scores` holds one
    float64 array (N,) for each score that later selection may use, NaN where a document has none. `cache` is for passes that
    several steps share (words, lines): it belongs to the texts as they are and is emptied when one changes.
    """

    def __init__(self, texts: Sequence[str], languages: Sequence[str], names: Sequence[str] = ()) -> None:
        self.texts = list(texts)
        self.languages = list(languages)
        self.names = list(names) or [str(number) for number in range(len(self.texts))]
        assert len(self.texts) == len(self.languages) == len(self.names)
        self.alive_N: NDArray[np.bool_] = np.ones(len(self.texts), dtype=bool)
        self.reasons: list[str | None] = [None] * len(self.texts)
        self.details: list[str] = [""] * len(self.texts)
        self.edits: Counter[str] = Counter()
        self.scores: dict[str, NDArray[np.float64]] = {}
        self.cache: dict[str, object] = {}

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def rows(self) -> list[int]:
        """Numbers of the documents that are still there."""
        return [int(row) for row in np.flatnonzero(self.alive_N)]

    def drop(self, row: int, reason: str, detail: str = "") -> None:
        """Drop one document; the first reason given stays."""
        if self.alive_N[row]:
            self.alive_N[row] = False
            self.reasons[row], self.details[row] = reason, detail

    def drop_where(self, mask_N: NDArray[np.bool_], reason: str, values_N: NDArray[np.float64] | None = None) -> None:
        """Drop all documents in the mask that are still there; the values that broke the rule become the details."""
        for row in np.flatnonzero(mask_N & self.alive_N).tolist():
            self.drop(row, reason, "" if values_N is None else f"{values_N[row]:.4g}")

    def replace(self, row: int, text: str) -> None:
        """Give a document another text. What later steps should count is said in `edits`."""
        if text != self.texts[row]:
            self.texts[row] = text
            self.cache.clear()
