"""Examples as training reads them: token ids, which of them are targets, and what is known of each, in files that are mapped.

An example is one sequence, or two where it is a pair: the chosen answer's, then the rejected one's, both with what was asked.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_json, writing

__all__ = ["Encoded", "ExampleWriter", "Examples"]

_FACTS = "examples.json"
_ABOUT = "about.jsonl"


class Encoded(NamedTuple):
    """One sequence: ids, and for each whether it is a target, that is, learnt as what comes next."""

    ids: Sequence[int]
    targets: Sequence[bool]


class Examples:
    """What an `ExampleWriter` wrote, or the first `most` of it: N examples of `sequences_per_example` sequences each, S in all."""

    def __init__(self, folder: Path, most: int | None = None) -> None:
        facts = read_json(folder / _FACTS)
        self.folder = folder
        self.sequences_per_example: int = facts["sequences_per_example"]
        self.tokens: int = facts["tokens"]
        self.target_tokens: int = facts["target_tokens"]
        self.starts_S1: NDArray[np.int64] = self._array("starts.npy")
        self._ids = self._array("ids.npy", mapped=self.tokens > 0)
        self._targets = self._array("targets.npy", mapped=self.tokens > 0)
        self.values: dict[str, NDArray[np.float32]] = {name: self._array(f"{name}.npy") for name in facts["values"]}
        """Figures of each example, float32 (N,): scores, weights."""
        if self.starts_S1[-1] != self.tokens:
            raise ArtifactError(
                f"{folder} is damaged: starts.npy ends with {self.starts_S1[-1]}, {_FACTS} has {self.tokens} tokens"
            )
        if most is not None and most < self.examples:
            self.starts_S1 = self.starts_S1[: most * self.sequences_per_example + 1]
            self.values = {name: value[:most] for name, value in self.values.items()}
            self.tokens = int(self.starts_S1[-1])
            self.target_tokens = int(self._targets[: self.tokens].sum())

    @property
    def sequences(self) -> int:
        """S, the number of sequences."""
        return len(self.starts_S1) - 1

    @property
    def examples(self) -> int:
        """N, the number of examples."""
        return self.sequences // self.sequences_per_example

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sequence, int64 (S,)."""
        return np.diff(self.starts_S1)

    def read(self, sequence: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Return ids and targets of one sequence."""
        span = slice(int(self.starts_S1[sequence]), int(self.starts_S1[sequence + 1]))
        return self._ids[span], self._targets[span].view(np.bool_)

    def about(self) -> list[dict[str, Any]]:
        """Return what is known of each example, in order: at least `id`."""
        return [orjson.loads(line) for line in (self.folder / _ABOUT).read_bytes().splitlines()[: self.examples]]

    def _array(self, name: str, *, mapped: bool = False) -> Any:
        try:
            return np.load(self.folder / name, mmap_mode="r" if mapped else None, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{self.folder / name} cannot be read: {error}") from error


class ExampleWriter:
    """Collects examples of one source and split; `close` writes them into a folder, the facts last."""

    def __init__(self, folder: Path, sequences_per_example: int = 1) -> None:
        self._folder, self._each = folder, sequences_per_example
        self._ids: list[NDArray[np.uint32]] = []
        self._targets: list[NDArray[np.uint8]] = []
        self._about: list[bytes] = []
        self._values: dict[str, list[float]] = {}

    def add(self, sequences: Sequence[Encoded], about: Mapping[str, Any], values: Mapping[str, float] | None = None) -> None:
        """Take one example: its sequences, what is known of it (JSON values), and its figures, the same names each time."""
        assert len(sequences) == self._each, "a pair is two sequences, anything else one"
        for ids, targets in sequences:
            assert len(ids) == len(targets) > 0
            self._ids.append(np.asarray(ids, dtype=np.uint32))
            self._targets.append(np.asarray(targets, dtype=np.uint8))
        self._about.append(orjson.dumps(dict(about)) + b"\n")
        for name, value in (values or {}).items():
            self._values.setdefault(name, []).append(value)

    def close(self) -> Examples:
        """Write everything, and open it."""
        lengths = [len(ids) for ids in self._ids]
        arrays: dict[str, NDArray[Any]] = {
            "starts": np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
            "ids": np.concatenate([np.empty(0, np.uint32), *self._ids]),
            "targets": np.concatenate([np.empty(0, np.uint8), *self._targets]),
        }
        for name, values in self._values.items():
            assert name not in arrays and len(values) == len(self._about)
            arrays[name] = np.array(values, dtype=np.float32)
        for name, array in arrays.items():
            with writing(self._folder / f"{name}.npy") as file:
                np.save(file, array, allow_pickle=False)
        with writing(self._folder / _ABOUT) as file:
            file.writelines(self._about)
        write_json(
            self._folder / _FACTS,
            {
                "sequences_per_example": self._each,
                "examples": len(self._about),
                "tokens": int(arrays["starts"][-1]),
                "target_tokens": int(arrays["targets"].sum()),
                "values": sorted(self._values),
            },
        )
        return Examples(self._folder)
