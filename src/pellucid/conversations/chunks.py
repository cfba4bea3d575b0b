"""Second pass, one chunk: examples that stay → ids and targets, in arrays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.conversations.encode import Encode, fit_example
from pellucid.conversations.funnel import Drops
from pellucid.conversations.read import read_chunk
from pellucid.conversations.shapes import Candidate
from pellucid.conversations.store import Encoded
from pellucid.conversations.turns import UnfitError
from pellucid.core.errors import DataError, UsageError

__all__ = ["DROP", "HELDOUT", "REFUSED", "TRAIN", "EncodeTask", "EncodedChunk", "encode_chunk"]

REFUSED = "refused by the chat template"

DROP, TRAIN, HELDOUT = range(3)


@dataclass(frozen=True)
class EncodeTask:
    """One chunk: what becomes of each of its examples, the context they must fit into, and who gives the encoder."""

    source: str
    file: Path
    fates: bytes
    limit_tokens: int
    open_encode: Callable[[], Encode]

    def __str__(self) -> str:
        return f"source {self.source}, {self.file.name}"


@dataclass
class EncodedChunk:
    """The sequences of E examples one after the other; `each` tells fate, what is known and figures of each example.

    `rows` tells which of the chunk's examples these are.
    """

    ids: NDArray[np.uint32]
    targets: NDArray[np.uint8]
    lengths: list[int]
    each: list[tuple[int, dict[str, Any], dict[str, float]]]
    rows: list[int] = field(default_factory=list)
    drops: Drops = field(default_factory=Drops)

    def examples(self, sequences_each: int) -> Iterator[tuple[list[Encoded], int, dict[str, Any], dict[str, float]]]:
        """Yield sequences, fate, what is known and figures of each example; arrays are views."""
        start, lengths = 0, iter(self.lengths)
        for fate, about, values in self.each:
            sequences = []
            for _ in range(sequences_each):
                span = slice(start, start := start + next(lengths))
                sequences.append(Encoded(self.ids[span], self.targets[span]))  # type: ignore[arg-type]
            yield sequences, fate, about, values


def encode_chunk(task: EncodeTask) -> EncodedChunk:
    """Encode the examples of a chunk that stay; one that the template refuses is dropped.

    Raises `UsageError` naming source and record where the template itself is at fault.
    """
    encode = task.open_encode()
    ids: list[int] = []
    targets: list[bool] = []
    chunk = EncodedChunk(np.empty(0, np.uint32), np.empty(0, np.uint8), [], [])
    for row, (fate, (candidate, about)) in enumerate(zip(task.fates, read_chunk(task.file), strict=True)):
        if fate == DROP:
            continue
        try:
            sequences = fit_example(candidate.messages, candidate.rejected, encode, task.limit_tokens)
        except UnfitError as error:
            chunk.drops.add(error.reason, about["id"], error.detail)
            continue
        except DataError as error:
            chunk.drops.add(REFUSED, about["id"], f"cannot be written as tokens: {error}")
            continue
        except UsageError as error:
            raise UsageError(f"source {task.source!r}: {about['id']} cannot be written as tokens: {error}") from error
        for encoded, _ in sequences:
            ids += encoded.ids
            targets += encoded.targets
            chunk.lengths.append(len(encoded.ids))
        about["truncated_tokens"] = sum(cut_tokens for _, cut_tokens in sequences)
        chunk.each.append((fate, about, _values(candidate)))
        chunk.rows.append(row)
    chunk.ids, chunk.targets = np.array(ids, dtype=np.uint32), np.array(targets, dtype=np.uint8)
    return chunk


def _values(candidate: Candidate) -> dict[str, float]:
    """Return a pair's scores, NaN where there is none."""
    if candidate.rejected is None:
        return {}
    scores = {"chosen_score": candidate.chosen_score, "rejected_score": candidate.rejected_score}
    return {name: float("nan") if score is None else score for name, score in scores.items()}
