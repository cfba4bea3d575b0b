"""The order of conversations and pairs: every example once an epoch, in an order that is a pure function of seed and epoch.

Unlike text, of which a run reads so many tokens by weight, examples are read to the last one: the sources are put together, and
what fills up the last step carries no loss.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pellucid.batches.batch import IGNORE, Batch, columns_for, number_pieces
from pellucid.batches.packing import pack_documents
from pellucid.batches.permutation import permute
from pellucid.core.errors import DataError
from pellucid.core.hashing import mix
from pellucid.core.seeds import derive_seed

__all__ = ["ExampleOrder", "ExampleSource", "Pace"]


class ExampleSource(Protocol):
    """What the order needs of a source (`conversations.Examples`): N examples of one sequence, or of two where they are pairs."""

    sequences_per_example: int

    @property
    def values(self) -> Mapping[str, NDArray[np.float32]]:
        """Figures of each example, float32 (N, ...), by name."""

    @property
    def examples(self) -> int:
        """N."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sequence, int64 (S,)."""

    def read(self, sequence: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Return ids and targets of one sequence."""


class Pace(NamedTuple):
    """How much of the examples is read: so many epochs, in steps of so many sequences (pairs count as one)."""

    epochs: float
    batch_seqs: int


class _Packs(NamedTuple):
    """P packs: pack p holds the examples `example_N[first_P1[p] : first_P1[p + 1]]`."""

    first_P1: NDArray[np.int64]
    example_N: NDArray[np.int64]

    def examples(self, pack: int) -> NDArray[np.int64]:
        return self.example_N[int(self.first_P1[pack]) : int(self.first_P1[pack + 1])]


class ExampleOrder:
    """Sequences 0, 1, 2, … of a stage: packs of whole examples of one source, or with `packed=False` one example each.

    In a pack attention is confined to each example, whose positions count from 0. No target is the first token of an example or
    padding. Examples by themselves are padded on the right, where causal attention hides the padding, and those of one call of
    `sequences` are sorted by length, so that micro-batches of them hold little padding: within a step their order is of no account.
    Raises `DataError` when there is no example, or one longer than a sequence.
    """

    def __init__(
        self, sources: Mapping[str, ExampleSource], seq_tokens: int, seed: int, pace: Pace, pad_id: int, *, packed: bool
    ) -> None:
        self.source_names = tuple(sorted(sources))
        self.sources = tuple(sources[name] for name in self.source_names)
        self.seq_tokens, self.seed, self.pace, self.packed, self._pad_id = seq_tokens, seed, pace, packed, pad_id
        kinds = {source.sequences_per_example for source in self.sources}
        self.rows = max(kinds, default=1)
        counts = np.array([source.examples for source in self.sources], dtype=np.int64)
        # Example e of all is example e - first of its source.
        self._first_S1 = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        if not self.examples:
            raise DataError(f"there is no example to learn from in {', '.join(self.source_names) or 'no source'}")
        assert len(kinds) == 1 and not (packed and self.rows > 1), "the recipe's check keeps pairs apart, and unpacked"
        self.lengths_ER = np.concatenate([source.lengths.reshape(-1, self.rows) for source in self.sources])
        if (longest := int(self.lengths_ER.max())) > seq_tokens:
            raise DataError(f"an example has {longest} tokens; seq_tokens is {seq_tokens}: run the stage conversations again")
        self._packs = self._pack() if packed else None
        self._key = np.uint64(derive_seed(seed, "examples"))
        self.values: dict[str, NDArray[np.float32]] = {}
        """Figures of each example, float32 (E, ...), in the order of the sources: what `values` of a batch are picked from."""
        for name in set.intersection(*(set(source.values) for source in self.sources)):
            self.values[name] = np.concatenate([source.values[name] for source in self.sources])

    @property
    def examples(self) -> int:
        """E, the examples of all sources."""
        return int(self._first_S1[-1])

    @property
    def epoch_seqs(self) -> int:
        """Sequences of one epoch."""
        return len(self._packs.first_P1) - 1 if self._packs is not None else self.examples

    @property
    def total_seqs(self) -> int:
        """Sequences of all epochs."""
        return max(1, round(self.pace.epochs * self.epoch_seqs))

    @property
    def total_steps(self) -> int:
        """Steps of all epochs; the last is filled up with sequences without loss."""
        return math.ceil(self.total_seqs / self.pace.batch_seqs)

    @cached_property
    def tokens(self) -> int:
        """Tokens of one epoch, without padding."""
        return int(self.lengths_ER.sum())

    def locate(self, index_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which pack, or which example, each sequence holds: π(i mod W) of epoch i div W; -1 behind the last epoch."""
        epoch_N, place_N = np.divmod(index_N, self.epoch_seqs)
        windows_N = np.full(len(index_N), self.epoch_seqs, dtype=np.int64)
        found_N = permute(place_N, windows_N, mix(self._key ^ mix(epoch_N.astype(np.uint64))))
        return np.where(index_N < self.total_seqs, found_N, -1)

    def sequences(self, first: int, count: int) -> Batch:
        """Return `count` sequences from `first` on."""
        index_B = np.arange(first, first + count)
        found_B = self.locate(index_B)
        if self._packs is not None:
            return self._packed(index_B, found_B)
        order_B = np.argsort(np.where(found_B < 0, 0, self.lengths_ER[found_B].max(axis=1)), kind="stable")
        return self.batch_of(found_B[order_B], index_B[order_B])

    def batch_of(self, example_B: NDArray[np.int64], sequence_B: NDArray[np.int64] | None = None) -> Batch:
        """Return these examples, each by itself, in this order; -1 stands for one without tokens."""
        lengths_BR = np.where(example_B[:, None] < 0, 1, self.lengths_ER[example_B])
        columns = columns_for(int(lengths_BR.max(initial=1)), self.seq_tokens)
        # A token is the target of the position before it.
        tokens_NT = np.full((len(example_B) * self.rows, columns + 1), self._pad_id, dtype=np.int64)
        learnt_NT = np.zeros(tokens_NT.shape, dtype=np.bool_)
        source_B = self._source_of(np.maximum(example_B, 0))
        for place, (example, source) in enumerate(zip(example_B.tolist(), source_B.tolist(), strict=True)):
            for row in range(self.rows if example >= 0 else 0):
                self._read_into(source, example, row, tokens_NT[place * self.rows + row], learnt_NT[place * self.rows + row])
        targets_NT = np.where(learnt_NT, tokens_NT, IGNORE)[:, 1:]
        return Batch(
            tokens_NT[:, :-1],
            targets_NT,
            source_B,
            example_B if sequence_B is None else sequence_B,
            self.source_names,
            values={name: self._picked(value, example_B) for name, value in self.values.items()},
            units_B=self._units(example_B, targets_NT),
            lengths=np.where(example_B[:, None] < 0, 0, lengths_BR).reshape(-1),
        )

    def will_read(self, first: int, count: int) -> None:
        """Do nothing: examples are few and short."""

    def identity(self) -> dict[str, Any]:
        """Return what the order is a function of, as far as a resumed run must agree on it (JSON values)."""
        counts = dict(zip(self.source_names, np.diff(self._first_S1).tolist(), strict=True))
        return {"seed": self.seed, "examples": counts, "tokens": self.tokens, "epochs": self.pace.epochs, "packed": self.packed}

    def receipt(self, steps: int) -> dict[str, Any]:
        """Return the receipt after so many steps, as plain JSON values: what was planned and what was consumed, by source."""
        done = min(steps * self.pace.batch_seqs, self.total_seqs)
        padding = {"padding_frac": 1 - self.tokens / (self.epoch_seqs * self.seq_tokens)} if self.packed else {}
        return {
            "order": {**self.identity(), "seq_tokens": self.seq_tokens, "batch_seqs": self.pace.batch_seqs, **padding},
            "steps": {"planned": self.total_steps, "consumed": steps},
            "planned": self._totals(self.total_seqs),
            "consumed": self._totals(done),
        }

    def example_of(self, index: int) -> list[tuple[str, int]]:
        """Return which examples, by source and number, the sequence at one place holds."""
        found = int(self.locate(np.array([index]))[0])
        examples = [] if found < 0 else [found] if self._packs is None else self._packs.examples(found).tolist()
        sources = self._source_of(np.array(examples, dtype=np.int64)).tolist()
        return [(self.source_names[s], e - int(self._first_S1[s])) for e, s in zip(examples, sources, strict=True)]

    def _packed(self, index_B: NDArray[np.int64], pack_B: NDArray[np.int64]) -> Batch:
        shape = (len(index_B), self.seq_tokens + 1)
        assert self._packs is not None
        tokens_BT, learnt_BT = np.full(shape, self._pad_id, dtype=np.int64), np.zeros(shape, dtype=np.bool_)
        begins, lengths, source_B = [], [], np.zeros(len(index_B), dtype=np.int64)
        for row, pack in enumerate(pack_B.tolist()):
            examples_N = self._packs.examples(pack) if pack >= 0 else np.empty(0, dtype=np.int64)
            at, source = 0, int(self._source_of(examples_N[:1])[0]) if len(examples_N) else 0
            source_B[row] = source
            for example in examples_N.tolist():
                begins.append(row * self.seq_tokens + at)
                at += self._read_into(source, example, 0, tokens_BT[row, at:], learnt_BT[row, at:])
            lengths.append(at)
            if at < self.seq_tokens:  # padding is a document of its own
                begins.append(row * self.seq_tokens + at)
        targets_BT, positions_BT = np.where(learnt_BT, tokens_BT, IGNORE)[:, 1:], np.empty((shape[0], self.seq_tokens), np.int64)
        documents_BT = number_pieces(np.array(begins, dtype=np.int64), positions_BT)
        facts = (positions_BT, documents_BT)
        lengths_B = np.minimum(np.array(lengths, dtype=np.int64), self.seq_tokens)
        return Batch(tokens_BT[:, :-1], targets_BT, source_B, index_B, self.source_names, *facts, lengths=lengths_B)

    def _read_into(self, source: int, example: int, row: int, tokens_T: NDArray[np.int64], learnt_T: NDArray[np.bool_]) -> int:
        """Write one sequence of an example to where tokens and targets begin; return its length."""
        ids, targets = self.sources[source].read((example - int(self._first_S1[source])) * self.rows + row)
        tokens_T[: len(ids)], learnt_T[: len(ids)] = ids, targets
        learnt_T[0] = False  # nothing of its own comes before it
        return len(ids)

    def _pack(self) -> _Packs:
        """Pack each source by itself, so that the loss of a sequence is the loss of one source."""
        firsts, examples = [np.zeros(1, dtype=np.int64)], []
        for begin, end in zip(self._first_S1[:-1].tolist(), self._first_S1[1:].tolist(), strict=True):
            starts = np.concatenate([[0], np.cumsum(self.lengths_ER[begin:end, 0])]).astype(np.int64)
            packs = pack_documents(starts, self.seq_tokens)
            firsts.append(packs.first_P1[1:] + firsts[-1][-1])
            examples.append(begin + np.searchsorted(starts, packs.start_N))
        return _Packs(np.concatenate(firsts), np.concatenate(examples))

    def _source_of(self, example_N: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(np.searchsorted(self._first_S1, example_N, side="right") - 1, dtype=np.int64)

    def _picked(self, value: NDArray[np.float32], example_B: NDArray[np.int64]) -> NDArray[np.float32]:
        picked = value[example_B]
        picked[example_B < 0] = 0
        return picked

    def _units(self, example_B: NDArray[np.int64], targets_NT: NDArray[np.int64]) -> NDArray[np.float64]:
        """Pairs count as one each; targets by the weight of their example, where it has one."""
        if self.rows > 1:
            return (example_B >= 0).astype(np.float64)
        targets_B = np.count_nonzero(targets_NT != IGNORE, axis=1).astype(np.float64)
        weight_B = self._picked(self.values["weight"], example_B) if "weight" in self.values else np.ones(len(example_B))
        return np.asarray(targets_B * weight_B)

    def _totals(self, seqs: int) -> dict[str, Any]:
        """Return examples and tokens by source of the first `seqs` sequences."""
        whole, rest = divmod(seqs, self.epoch_seqs)
        times_E = np.full(self.examples, whole, dtype=np.int64)
        begun_N = self.locate(np.arange(whole * self.epoch_seqs, whole * self.epoch_seqs + rest))
        if self._packs is None:
            times_E[begun_N] += 1
        else:
            for pack in begun_N.tolist():
                times_E[self._packs.examples(pack)] += 1
        sources = {}
        for number, name in enumerate(self.source_names):
            part = slice(int(self._first_S1[number]), int(self._first_S1[number + 1]))
            tokens = int((times_E[part, None] * self.lengths_ER[part]).sum())
            count = part.stop - part.start
            epochs = float(times_E[part].sum() / count) if count else 0.0
            sources[name] = {"examples": int(times_E[part].sum()), "available": count, "tokens": tokens, "epochs": epochs}
        return {"sequences": seqs, "tokens": sum(each["tokens"] for each in sources.values()), "sources": sources}
