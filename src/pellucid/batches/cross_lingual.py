"""The order of data for attention across languages: sequences of several windows, of different languages where possible."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pellucid.batches.batch import Batch, Piece, Sequence, confine_to_documents
from pellucid.batches.languages import arrange_by_language
from pellucid.batches.mixture import Mixture
from pellucid.batches.order import DataOrder, Stream

__all__ = ["CrossLingualOrder"]

_SEVERAL = "mul"


class CrossLingualOrder(DataOrder):
    """Sequences of `parts` windows of T/parts tokens each; a source's windows come in the same order as they would alone.

    Batches say which document and which language each token is of. As with `attention="document"`, no end mark foretells the next
    document. Positions run on through the sequence, so that the distance between two tokens is the one at which they stand.
    """

    def __init__(
        self, streams: Mapping[str, Stream], weights: Mapping[str, float], seq_tokens: int, seed: int, parts: int = 2
    ) -> None:
        found = {name: streams[name].document_languages for name in sorted(streams) if weights.get(name, 0) > 0}
        self.languages = tuple(sorted({language for _, languages in found.values() for language in languages}))
        numbers = {language: number for number, language in enumerate(self.languages)}
        # A source's own numbering, and its place in the common one.
        self._codes = [
            (codes, np.array([numbers[language] for language in languages], dtype=np.int32)) for codes, languages in found.values()
        ]
        self._language_S = [_main_language(streams[name], *found[name]) for name in found]
        super().__init__(streams, weights, seq_tokens, seed, "cross_lingual", parts)

    def sequence(self, index: int) -> Sequence:
        """Return the sequence at one place of the order."""
        place_N = np.arange(index * self.parts, (index + 1) * self.parts)
        source_N, epoch_N, window_N, start_N = self.locate(place_N)
        count = self.part_tokens + 1
        pieces, ids = [], []
        rows = zip(source_N.tolist(), epoch_N.tolist(), start_N.tolist(), strict=True)
        for part, (source, epoch, start) in enumerate(rows):
            pieces.append(Piece(self.source_names[source], epoch, start, count, part * count))
            ids.append(self.streams[source].read(start, count).astype(np.uint32))
        first = pieces[0]
        return Sequence(index, first.source, first.epoch, int(window_N[0]), first.start, np.concatenate(ids), tuple(pieces))

    def sequences_at(self, index_B: NDArray[np.int64]) -> Batch:
        """Return the sequences at these places, in the order asked for; `source_B` has an entry for each part."""
        index_B = np.asarray(index_B, dtype=np.int64)
        place_N = (index_B[:, None] * self.parts + np.arange(self.parts)).reshape(-1)
        source_N, tokens_NT, starts = self._read_windows(place_N)
        targets_NT, _, documents_NT = confine_to_documents(tokens_NT, self._eos_id)
        languages_NT = np.empty_like(documents_NT)
        for row, (source, start) in enumerate(zip(source_N.tolist(), starts, strict=True)):
            codes, numbers = self._codes[source]
            first = int(np.searchsorted(self.streams[source].document_starts, start, side="right")) - 1
            present = numbers[codes[first : first + int(documents_NT[row, -1]) + 1]]
            languages_NT[row] = present[documents_NT[row]]
        whole = (len(index_B), self.seq_tokens)
        # Parts are numbered on from one another, so that equal numbers are one document.
        held_BP = documents_NT[:, -1].reshape(-1, self.parts) + 1
        documents_NT += (np.cumsum(held_BP, axis=1) - held_BP).reshape(-1, 1)
        return Batch(
            np.ascontiguousarray(tokens_NT[:, :-1]).reshape(whole),
            targets_NT.reshape(whole),
            source_N,
            index_B,
            self.source_names,
            documents_BT=documents_NT.reshape(whole),
            languages_BT=languages_NT.reshape(whole),
        )

    def _arrange(self, mixture: Mixture) -> Mixture:
        return arrange_by_language(mixture, self._language_S, self.parts)


def _main_language(stream: Stream, codes: NDArray[np.int16], languages: tuple[str, ...]) -> str:
    """Return the language of more than half of a source's tokens, or that it is of several."""
    tokens = np.bincount(codes, weights=np.diff(stream.document_starts), minlength=len(languages))
    return languages[int(tokens.argmax())] if len(tokens) and tokens.max() * 2 > tokens.sum() else _SEVERAL
