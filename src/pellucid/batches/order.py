"""The order of data: which tokens the i-th sequence of a run holds, as a pure function of weights, shards, seed and i.

Nothing is shuffled, stored or carried along: resuming needs only the step, ranks need not talk to each other, and any step can be
looked at afterwards. A source's own windows come in an order that depends on its name, the seed and the epoch alone, so that adding
a source or changing a weight moves no other source's windows.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pellucid.batches.accounting import SourceUse, account_for
from pellucid.batches.batch import Batch, Piece, Sequence, confine_to_documents
from pellucid.batches.mixture import Mixture, build_mixture, check_weights
from pellucid.batches.packing import cut_by_windows
from pellucid.batches.permutation import permute
from pellucid.core.errors import DataError, UsageError
from pellucid.core.hashing import mix
from pellucid.core.seeds import derive_seed

__all__ = ["Attention", "DataOrder", "Order", "Stream"]

Attention = Literal["causal", "document", "cross_lingual"]


class Stream(Protocol):
    """What the order needs of a source (`shards.TokenStream`): its tokens in a row, each document ended by EOS, and their index."""

    @property
    def tokens(self) -> int:
        """Number of tokens."""

    @property
    def document_starts(self) -> NDArray[np.int64]:
        """Offset of each document's first token, and the number of tokens at the end; ascending."""

    def read(self, start: int, count: int) -> NDArray[Any]:
        """Return `count` tokens from `start` on."""

    def will_read(self, start: int, count: int) -> None:
        """Prepare to read `count` tokens from `start` on."""

    def metadata(self, documents: list[int]) -> list[dict[str, Any]]:
        """Return what is known of these documents: id, language, licence, origin."""

    @property
    def document_languages(self) -> tuple[NDArray[np.int16], tuple[str, ...]]:
        """Number of each document's language, and the languages by number."""


class Order(Protocol):
    """What training needs of an order, of windows of text or of examples."""

    @property
    def seed(self) -> int:
        """What it was made with."""

    def sequences(self, first: int, count: int) -> Batch:
        """Return `count` sequences from `first` on."""

    def will_read(self, first: int, count: int) -> None:
        """Have the system fetch `count` sequences from `first` on, which are read next."""

    def identity(self) -> dict[str, Any]:
        """Return what the order is a function of, as far as a resumed run must agree on it (JSON values)."""


class DataOrder:
    """Sequences 0, 1, 2, … of a run. `attention="document"` adds positions and document numbers and masks across documents.

    These are windows of one source each; `PackedOrder` and `CrossLingualOrder` make other sequences in the same order.
    A sequence has `parts` places in the order of windows (one, but for parts in several languages), which is what `locate` counts.
    Sources without weight are left out; the others are numbered by name, so that the order they are listed in plays no part.
    Raises `DataError`, naming all faults, when a weight cannot be served or a source has less than one window of tokens.
    """

    packing: ClassVar[str] = "windows"

    def __init__(
        self,
        streams: Mapping[str, Stream],
        weights: Mapping[str, float],
        seq_tokens: int,
        seed: int,
        attention: Attention = "causal",
        parts: int = 1,
    ) -> None:
        faults = check_weights(weights, streams)
        self.seq_tokens, self.seed, self.attention, self.parts = seq_tokens, seed, attention, parts
        self.part_tokens = seq_tokens // parts
        for name in sorted(streams):
            if weights.get(name, 0) > 0 and (fault := self._too_short(streams[name].tokens)):
                faults.append(f"source {name!r}: has weight {weights[name]:g} and {fault}")
        if faults:
            raise DataError("the data cannot be served as asked\n  " + "\n  ".join(faults))
        names = sorted(name for name, weight in weights.items() if weight > 0)
        total = float(sum(weights[name] for name in names))
        self.source_names = tuple(names)
        self.streams = tuple(streams[name] for name in names)
        self.shares = tuple(weights[name] / total for name in names)
        self.mixture = self._arrange(build_mixture({name: weights[name] for name in names}))
        self._windows_S = np.array([self._count_windows(stream) for stream in self.streams], dtype=np.int64)
        self._eos_id = self._find_eos_id() if attention != "causal" else -1
        self._cut_documents: dict[int, int] = {}
        self._key_S = np.array([derive_seed(seed, "windows", name) for name in names], dtype=np.uint64)

    def locate(
        self, index_N: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return source, epoch, window and first token of each sequence, all int64 (N,).

        Visit k of a source with W windows reads window π(k mod W) of epoch k div W, where π is that epoch's own permutation;
        window w holds tokens w·T to w·T + T, so neighbouring windows share one token: the last target of one, the first input of
        the next.
        """
        index_N = np.asarray(index_N, dtype=np.int64)
        if len(index_N) and index_N.min() < 0:
            raise UsageError(f"sequence {index_N.min()} does not exist; they are counted from 0")
        source_N, visit_N = self.mixture.visits(index_N)
        windows_N = self._windows_S[source_N]
        epoch_N, place_N = np.divmod(visit_N, windows_N)
        window_N = permute(place_N, windows_N, mix(self._key_S[source_N] ^ mix(epoch_N.astype(np.uint64))))
        return source_N, epoch_N, window_N, self._starts_of(source_N, window_N)

    def sequence(self, index: int) -> Sequence:
        """Return the sequence at one place of the order."""
        source, epoch, window, start = (int(value[0]) for value in self.locate(np.array([index])))
        ids = self.streams[source].read(start, self.seq_tokens + 1).astype(np.uint32)
        piece = Piece(self.source_names[source], epoch, start, len(ids))
        return Sequence(index, piece.source, epoch, window, start, ids, (piece,))

    def sequences_at(self, index_B: NDArray[np.int64]) -> Batch:
        """Return the sequences at these places, in the order asked for. A rank passes the places that are its own."""
        index_B = np.asarray(index_B, dtype=np.int64)
        source_B, tokens_BT, _ = self._read_windows(index_B)
        ids_BT = tokens_BT[:, :-1]
        if self.attention == "causal":
            return Batch(ids_BT, tokens_BT[:, 1:], source_B, index_B, self.source_names)
        targets_BT, positions_BT, documents_BT = confine_to_documents(tokens_BT, self._eos_id)
        return Batch(ids_BT, targets_BT, source_B, index_B, self.source_names, positions_BT, documents_BT)

    def sequences(self, first: int, count: int) -> Batch:
        """Return `count` sequences from `first` on."""
        return self.sequences_at(np.arange(first, first + count))

    def will_read(self, first: int, count: int) -> None:
        """Have the system fetch `count` sequences from `first` on, which are read next."""
        source_N, _, _, start_N = self.locate(np.arange(first * self.parts, (first + count) * self.parts))
        for source, start in zip(source_N.tolist(), start_N.tolist(), strict=True):
            self.streams[source].will_read(start, self.part_tokens + 1)

    def batch(self, step: int, batch_seqs: int) -> Batch:
        """Return the sequences of one step; step 0 is the first."""
        return self.sequences(step * batch_seqs, batch_seqs)

    def identity(self) -> dict[str, Any]:
        """Return what the order is a function of, as far as a resumed run must agree on it (JSON values)."""
        return {
            "seed": self.seed,
            "attention": self.attention,
            "shares": dict(zip(self.source_names, self.shares, strict=True)),
            "tokens": {name: stream.tokens for name, stream in zip(self.source_names, self.streams, strict=True)},
        }

    def consumed(self, total_seqs: int) -> dict[str, SourceUse]:
        """Return the account of every source after the first `total_seqs` sequences: what a plan foresees and a run has used."""
        if total_seqs < 0:
            raise UsageError(f"total_seqs: got {total_seqs}; must be 0 or above")
        total = total_seqs * self.parts
        counts = self.mixture.counts(total)
        return {name: self._account(source, int(counts[source]), total) for source, name in enumerate(self.source_names)}

    def spans(self, name: str, total_seqs: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the tokens lie that the first `total_seqs` sequences take from a source: first tokens and lengths, (N,).

        A window's tokens are its targets. Spans do not overlap. Their number, and so the work, is what `spans_read` says.
        """
        window_N = self._windows_read(name, total_seqs)
        return window_N * self.part_tokens + 1, np.full(len(window_N), self.part_tokens, dtype=np.int64)

    def windows_read(self, name: str, total_seqs: int) -> int:
        """Return how many different windows (or packs) of a source the first `total_seqs` sequences hold."""
        if name not in self.source_names:
            return 0
        source = self.source_names.index(name)
        return min(int(self.mixture.counts(total_seqs * self.parts)[source]), int(self._windows_S[source]))

    def spans_read(self, name: str, total_seqs: int) -> int:
        """Return how many spans `spans` would give."""
        return self.windows_read(name, total_seqs)

    def _windows_read(self, name: str, total_seqs: int) -> NDArray[np.int64]:
        """Return the numbers of those windows."""
        read = self.windows_read(name, total_seqs)
        if not read:
            return np.empty(0, dtype=np.int64)
        return self._windows_of_epoch(self.source_names.index(name), 0, read)

    def _windows_of_epoch(self, source: int, epoch: int, count: int) -> NDArray[np.int64]:
        """Return the first `count` windows of an epoch of a source."""
        key = mix(self._key_S[source : source + 1] ^ mix(np.array([epoch], dtype=np.uint64)))
        return permute(np.arange(count), np.full(count, self._windows_S[source]), np.repeat(key, count))

    def _read_windows(self, index_N: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
        """Return the source, the T+1 tokens and the first token of each window."""
        source_N, _, _, start_N = self.locate(index_N)
        count = self.part_tokens + 1
        sources, starts = source_N.tolist(), start_N.tolist()
        tokens_NT = np.empty((len(sources), count), dtype=np.int64)
        for row, (source, start) in enumerate(zip(sources, starts, strict=True)):
            tokens_NT[row] = self.streams[source].read(start, count)
        return source_N, tokens_NT, starts

    def _too_short(self, tokens: int) -> str:
        """Return what is wrong with a source of so many tokens; nothing when it can be served."""
        least = self.part_tokens + 1
        name = "seq_tokens" if self.parts == 1 else "seq_tokens / lingual_parts"
        return (
            f"{tokens} tokens; one window needs {name} + 1 = {least}; set its weight to 0, add text to it, or shorten seq_tokens"
            if tokens < least
            else ""
        )

    def _arrange(self, mixture: Mixture) -> Mixture:
        return mixture

    def _count_windows(self, stream: Stream) -> int:
        return (stream.tokens - 1) // self.part_tokens

    def _starts_of(self, source_N: NDArray[np.int64], window_N: NDArray[np.int64]) -> NDArray[np.int64]:
        return window_N * self.part_tokens

    def _account(self, source: int, sequences: int, total_seqs: int) -> SourceUse:
        return account_for(
            sequences=sequences,
            total_seqs=total_seqs,
            share=self.shares[source],
            quota=int(self.mixture.quota_S[source]),
            seq_tokens=self.part_tokens,
            available_tokens=self.streams[source].tokens,
            masked_tokens=self._masked_per_epoch(source),
            cut_documents=self._cut_by_windows(source),
        )

    def _cut_by_windows(self, source: int) -> int:
        if source not in self._cut_documents:
            self._cut_documents[source] = cut_by_windows(self.streams[source].document_starts, self.part_tokens)
        return self._cut_documents[source]

    def _find_eos_id(self) -> int:
        """Return the id that ends every document: the last token of every source. It spares a search of the document index."""
        found = {
            name: int(stream.read(stream.tokens - 1, 1)[0]) for name, stream in zip(self.source_names, self.streams, strict=True)
        }
        if len(set(found.values())) > 1:
            told = ", ".join(f"{name}: {eos}" for name, eos in found.items())
            raise DataError(
                f"documents need one end mark, but the sources end with different tokens ({told}); their shards "
                "were not written with the same tokenizer: delete shards/ and run again"
            )
        return found[self.source_names[0]]

    def _masked_per_epoch(self, source: int) -> int:
        if self.attention == "causal":
            return 0
        last_target = int(self._windows_S[source]) * self.part_tokens
        first, last = np.searchsorted(self.streams[source].document_starts, (1, last_target + 1))
        return int(last - first)
