"""Open any step afterwards: which documents it held, where they came from, what was masked, and a digest to compare by."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.batches.batch import IGNORE, Piece, Sequence
from pellucid.batches.order import DataOrder
from pellucid.batches.pieces import cut_pieces, runs_of
from pellucid.core.errors import UsageError

__all__ = ["inspect_step"]

Decode = Callable[[list[int]], str]

_EXCERPT_TOKENS = 60


def inspect_step(
    order: DataOrder, step: int, batch_seqs: int, decode: Decode | None = None, decode_after: Decode | None = None
) -> dict[str, Any]:
    """Return what one step read (step 0 is the first), as plain JSON values; raise `UsageError` for a negative step.

    Each sequence has its index, source, epoch, window, first token (in its source), documents, the number of masked targets and
    their runs (`masked_runs`: first position and length of each), `padding_tokens`, how many tokens belong to no document, and the
    sha256 of its T+1 token ids as little-endian uint32 (of parts in several languages, those of each part in turn). Each document
    has source, id, language, licence and origin, `from_token` (offset in the document of the first token that the window holds),
    `window_token` (where that lies in the window), `tokens` (how many of the window's T+1 are its own) and `ends` (whether its end
    mark is among them). With `decode`, a document has an `excerpt` of the beginning of that part, and a sequence all its text in
    `pieces`, as `cut_pieces` gives them; `decode_after`, when given, is for what begins inside a document.
    """
    if step < 0:
        raise UsageError(f"step {step} does not exist; steps are counted from 0")
    masked_BT = order.batch(step, batch_seqs).targets_BT == IGNORE
    readers = None if decode is None else (decode, decode_after or decode)
    sequences = [_inspect_sequence(order, step * batch_seqs + row, masked_T, readers) for row, masked_T in enumerate(masked_BT)]
    return {"step": step, "batch_seqs": batch_seqs, "seq_tokens": order.seq_tokens, "sequences": sequences}


def _inspect_sequence(
    order: DataOrder, index: int, masked_T: NDArray[np.bool_], readers: tuple[Decode, Decode] | None
) -> dict[str, Any]:
    sequence = order.sequence(index)
    documents = [document for piece in sequence.pieces for document in _inspect_piece(order, sequence, piece, readers)]
    pieces = {} if readers is None else {"pieces": cut_pieces(sequence.ids, documents, masked_T, *readers)}
    return {
        "index": index,
        "source": sequence.source,
        "epoch": sequence.epoch,
        "window": sequence.window,
        "start_token": sequence.start,
        "documents": documents,
        "masked_targets": int(masked_T.sum()),
        "masked_runs": runs_of(masked_T),
        "padding_tokens": len(sequence.ids) - sum(document["tokens"] for document in documents),
        "sha256": sha256(sequence.ids.astype("<u4").tobytes()).hexdigest(),
        **pieces,
    }


def _inspect_piece(
    order: DataOrder, sequence: Sequence, piece: Piece, readers: tuple[Decode, Decode] | None
) -> list[dict[str, Any]]:
    stream = order.streams[order.source_names.index(piece.source)]
    begins, end = stream.document_starts, piece.start + piece.tokens
    first = int(np.searchsorted(begins, piece.start, side="right")) - 1
    numbers = list(range(first, int(np.searchsorted(begins, end))))
    documents = []
    for number, known in zip(numbers, stream.metadata(numbers), strict=True):
        begin = max(piece.start, int(begins[number]))
        tokens, at = min(end, int(begins[number + 1])) - begin, piece.at + begin - piece.start
        document = {"source": piece.source} | {name: known[name] for name in ("id", "language", "licence", "origin")}
        document |= {"from_token": begin - int(begins[number]), "window_token": at, "tokens": tokens}
        document["ends"] = begin + tokens == int(begins[number + 1])
        if readers is not None:
            reader = readers[document["from_token"] > 0]
            document["excerpt"] = reader(sequence.ids[at : at + min(tokens, _EXCERPT_TOKENS)].tolist())
        documents.append(document)
    return documents
