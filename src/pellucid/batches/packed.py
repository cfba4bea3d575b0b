"""The order of data with whole documents packed by best fit: what is permuted and mixed are packs instead of windows."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.batches.accounting import SourceUse
from pellucid.batches.batch import IGNORE, Batch, Piece, Sequence, number_pieces
from pellucid.batches.order import DataOrder, Stream
from pellucid.batches.packing import Packs, pack_documents

__all__ = ["PackedOrder"]


class PackedOrder(DataOrder):
    """Sequences of whole documents, cut only where they are longer than a sequence, and padded with the end mark.

    A pack of at most T+1 tokens is a sequence; `locate` gives the pack's number as window, and where its first piece begins. No
    target is padding, and no target begins a piece that would have to be foretold from another text: the middle of a document,
    and with `attention="document"` any. Packs are worked out when the order is made, from the documents' lengths alone.
    """

    packing: ClassVar[str] = "best_fit"

    def __init__(
        self,
        streams: Mapping[str, Stream],
        weights: Mapping[str, float],
        seq_tokens: int,
        seed: int,
        attention: Literal["causal", "document"] = "causal",
    ) -> None:
        self._packs: list[Packs] = []
        super().__init__(streams, weights, seq_tokens, seed, attention)
        self._eos_id = self._find_eos_id()

    def sequence(self, index: int) -> Sequence:
        """Return the sequence at one place of the order."""
        source, epoch, pack, start = (int(value[0]) for value in self.locate(np.array([index])))
        ids = np.full(self.seq_tokens + 1, self._eos_id, dtype=np.uint32)
        pieces, at = [], 0
        for begin, count in self._pieces_of(source, pack):
            ids[at : at + count] = self.streams[source].read(begin, count)
            pieces.append(Piece(self.source_names[source], epoch, begin, count, at))
            at += count
        return Sequence(index, self.source_names[source], epoch, pack, start, ids, tuple(pieces))

    def sequences_at(self, index_B: NDArray[np.int64]) -> Batch:
        """Return the sequences at these places, in the order asked for. Padding is its own document, behind all others."""
        index_B = np.asarray(index_B, dtype=np.int64)
        source_B, _, pack_B, _ = self.locate(index_B)
        seqs, length = len(index_B), self.seq_tokens + 1
        tokens_BT = np.full((seqs, length), self._eos_id, dtype=np.int64)
        begins: list[int] = []
        unforetold_BT = np.zeros((seqs, length), dtype=bool)
        for row, (source, pack) in enumerate(zip(source_B.tolist(), pack_B.tolist(), strict=True)):
            packs, stream, at = self._packs[source], self.streams[source], 0
            continues = packs.continues_N[packs.pieces(pack)]
            for (begin, count), continued in zip(self._pieces_of(source, pack), continues.tolist(), strict=True):
                tokens_BT[row, at : at + count] = stream.read(begin, count)
                unforetold_BT[row, at] = continued or self.attention == "document"
                # The last of T+1 tokens is a target only.
                if at < self.seq_tokens:
                    begins.append(row * self.seq_tokens + at)
                at += count
            unforetold_BT[row, at:] = True
            if at < self.seq_tokens:
                begins.append(row * self.seq_tokens + at)
        targets_BT, positions_BT = np.empty((2, seqs, self.seq_tokens), dtype=np.int64)
        targets_BT[:] = tokens_BT[:, 1:]
        targets_BT[unforetold_BT[:, 1:]] = IGNORE
        ids_BT = tokens_BT[:, :-1]
        if self.attention == "causal":
            return Batch(ids_BT, targets_BT, source_B, index_B, self.source_names)
        documents_BT = number_pieces(np.array(begins, dtype=np.int64), positions_BT)
        return Batch(ids_BT, targets_BT, source_B, index_B, self.source_names, positions_BT, documents_BT)

    def will_read(self, first: int, count: int) -> None:
        """Have the system fetch `count` sequences from `first` on, which are read next."""
        source_N, _, pack_N, _ = self.locate(np.arange(first, first + count))
        for source, pack in zip(source_N.tolist(), pack_N.tolist(), strict=True):
            for begin, tokens in self._pieces_of(source, pack):
                self.streams[source].will_read(begin, tokens)

    def spans(self, name: str, total_seqs: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the tokens lie that the first `total_seqs` sequences take from a source: first tokens and lengths, (N,)."""
        pack_N = self._windows_read(name, total_seqs)
        if not len(pack_N):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        packs = self._packs[self.source_names.index(name)]
        piece_N = np.repeat(_marked(packs, pack_N), np.diff(packs.first_P1))
        return packs.start_N[piece_N], packs.length_N[piece_N].astype(np.int64)

    def spans_read(self, name: str, total_seqs: int) -> int:
        """Return how many spans `spans` would give: one for each piece of the packs that were read."""
        pack_N = self._windows_read(name, total_seqs)
        return int(np.diff(self._packs[self.source_names.index(name)].first_P1)[pack_N].sum()) if len(pack_N) else 0

    def _pieces_of(self, source: int, pack: int) -> list[tuple[int, int]]:
        packs = self._packs[source]
        pieces = packs.pieces(pack)
        return list(zip(packs.start_N[pieces].tolist(), packs.length_N[pieces].tolist(), strict=True))

    def _too_short(self, tokens: int) -> str:
        return "" if tokens > 1 else f"{tokens} tokens; a sequence needs at least 2; set its weight to 0, or add text to it"

    def _count_windows(self, stream: Stream) -> int:
        self._packs.append(pack_documents(stream.document_starts, self.seq_tokens + 1))
        return self._packs[-1].packs

    def _starts_of(self, source_N: NDArray[np.int64], window_N: NDArray[np.int64]) -> NDArray[np.int64]:
        start_N = np.empty(len(source_N), dtype=np.int64)
        for source in np.unique(source_N).tolist():
            packs, mine = self._packs[source], source_N == source
            start_N[mine] = packs.start_N[packs.first_P1[window_N[mine]]]
        return start_N

    def _account(self, source: int, sequences: int, total_seqs: int) -> SourceUse:
        packs = self._packs[source]
        epochs, begun = divmod(sequences, packs.packs)
        in_begun = int(packs.fills[self._windows_of_epoch(source, epochs, begun)].sum()) if begun else 0
        served = epochs * int(packs.fills.sum()) + in_begun
        # The first epoch is the one that decides what was seen.
        seen = int(packs.fills.sum()) if epochs else in_begun
        begins_N = packs.continues_N if self.attention == "causal" else np.ones(len(packs.start_N), dtype=bool)
        return SourceUse(
            sequences=sequences,
            tokens=sequences * self.seq_tokens,
            epochs=sequences / packs.packs,
            planned_share=self.shares[source],
            realised_share=sequences / total_seqs if total_seqs else 0.0,
            quota_per_block=int(self.mixture.quota_S[source]),
            windows_per_epoch=packs.packs,
            available_tokens=self.streams[source].tokens,
            seen_tokens=seen,
            unseen_tokens=self.streams[source].tokens - seen,
            tail_tokens=0,
            masked_tokens_per_epoch=int(np.count_nonzero(begins_N & _behind(packs))),
            padding_tokens=sequences * packs.capacity - served,
            cut_documents_per_epoch=packs.cut_documents,
            cut_documents_by_windows=self._cut_by_windows(source),
        )


def _behind(packs: Packs) -> NDArray[np.bool_]:
    """Return which pieces are not the first of their pack."""
    behind_N = np.ones(len(packs.start_N), dtype=bool)
    behind_N[packs.first_P1[:-1]] = False
    return behind_N


def _marked(packs: Packs, pack_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    marked_P = np.zeros(packs.packs, dtype=bool)
    marked_P[pack_N] = True
    return marked_P
