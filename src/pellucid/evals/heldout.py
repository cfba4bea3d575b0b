"""Bits per byte of held-out documents: each scored on its own, in windows that overlap, every token exactly once.

A document is read as a causal model met it in training, after the end of another: its first token is predicted from EOS. Training
with attention confined to documents never shows that, so there the first token costs more than it need. A document longer than
the window is read in windows whose ends lie `stride_tokens` apart; each scores only the tokens that no earlier window scored, so
every token but those of the first window has at least `seq_tokens - stride_tokens` tokens before it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.core.errors import DataError
from pellucid.core.progress import progress
from pellucid.core.units import utf8_bytes
from pellucid.evals.records import DocumentScore, HeldoutDocument

__all__ = ["EncodeBatch", "LanguageModel", "Window", "score_heldout", "window_spans"]

# Logits are made for this many positions at a time: few enough to stay in a core's cache, enough to keep it busy.
_LOGIT_ROWS = 256

EncodeBatch = Callable[[list[str]], tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]]
"""Texts → (ids of all, offsets): text i is `ids[offsets[i]:offsets[i+1]]`; no special ids are added."""


class LanguageModel(Protocol):
    """What scoring needs of a model; `model.Decoder` is one."""

    def __call__(self, ids_BT: Tensor) -> Tensor:
        """Return final hidden states x_BTD."""

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Return logits over the vocabulary for hidden states of any leading shape."""


@dataclass(frozen=True, slots=True)
class Window:
    """How long documents are read: `seq_tokens` inputs at a time, of which `stride_tokens` are new after the first window."""

    seq_tokens: int
    stride_tokens: int

    def __post_init__(self) -> None:
        if not 1 <= self.stride_tokens <= self.seq_tokens:
            raise DataError(
                f"evaluate.stride_tokens is {self.stride_tokens}; it must lie between 1 and evaluate.seq_tokens = {self.seq_tokens}"
            )


@dataclass(frozen=True, slots=True)
class _Span:
    """Inputs `start … start+length` of a document's (EOS, tokens…); its targets from `scored_from` on are scored."""

    document: int
    start: int
    length: int
    scored_from: int


def window_spans(tokens: int, window: Window) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, first scored) of each window over `tokens` targets; target t is predicted from inputs start … t.

    The last window ends with the document and reaches back as far as it may, so the last tokens lose no context.
    """
    scored = 0
    end = min(window.seq_tokens, tokens)
    while scored < tokens:
        yield max(0, end - window.seq_tokens), end, scored
        scored, end = end, min(end + window.stride_tokens, tokens)


def score_heldout(
    model: LanguageModel,
    encode_batch: EncodeBatch,
    eos_id: int,
    documents: Sequence[HeldoutDocument],
    *,
    window: Window,
    batch_tokens: int,
    device: torch.device | str = "cpu",
) -> list[DocumentScore]:
    """Score each document and return the scores in the documents' order; documents without text are left out.

    Windows of like length share a batch of at most `batch_tokens` inputs (but at least one window). What is summed for a
    document are the natural logs of its own tokens' probabilities: neither padding nor the EOS after it counts.
    """
    documents = [document for document in documents if document.text]
    flat_ids, offsets = encode_batch([document.text for document in documents])
    spans = [
        _Span(index, start, end - start, scored)
        for index, tokens in enumerate(np.diff(offsets).tolist())
        for start, end, scored in window_spans(tokens, window)
    ]
    # Longest first: the largest batch, which decides whether memory suffices, is the first one.
    spans.sort(key=lambda span: (-span.length, span.document, span.start))
    nats = np.zeros(len(documents))
    with torch.inference_mode(), progress("held-out text", total=float(offsets[-1]), unit="tokens") as bar:
        for batch in _batches(spans, batch_tokens):
            nats_of_batch, scored = _score_batch(model, batch, flat_ids, offsets, eos_id, device)
            np.add.at(nats, [span.document for span in batch], nats_of_batch)
            bar.advance(scored)
    return [
        DocumentScore(document.id, document.source, document.language, utf8_bytes(document.text), int(tokens), float(value))
        for document, tokens, value in zip(documents, np.diff(offsets), nats, strict=True)
    ]


def _batches(spans: Sequence[_Span], batch_tokens: int) -> Iterator[list[_Span]]:
    """Cut the sorted spans into batches that, padded to their longest, hold at most `batch_tokens` inputs."""
    batch: list[_Span] = []
    for span in spans:
        if batch and (len(batch) + 1) * batch[0].length > batch_tokens:
            yield batch
            batch = []
        batch.append(span)
    if batch:
        yield batch


def _score_batch(
    model: LanguageModel,
    batch: Sequence[_Span],
    flat_ids: npt.NDArray[np.integer],
    offsets: npt.NDArray[np.integer],
    eos_id: int,
    device: torch.device | str,
) -> tuple[npt.NDArray[np.float64], int]:
    """Return the nats that each span scores, [B], and how many tokens that are."""
    ids = np.full((len(batch), batch[0].length), eos_id, dtype=np.int64)
    targets = np.full_like(ids, -1)
    for row, span in enumerate(batch):
        begin = int(offsets[span.document]) + span.start
        tokens = flat_ids[begin : begin + span.length]
        # Input 0 of a document is the EOS before it; in a later window it is the token before the window's first target.
        ids[row, 0] = eos_id if span.start == 0 else flat_ids[begin - 1]
        ids[row, 1 : span.length] = tokens[:-1]
        skipped = span.scored_from - span.start
        targets[row, skipped : span.length] = tokens[skipped:]
    ids_BT = torch.from_numpy(ids).to(device)
    targets_BT = torch.from_numpy(targets).to(device)
    is_scored_BT = targets_BT >= 0
    # The head is the dearest part of a small model: it sees only the positions that are scored.
    x_ND = model(ids_BT)[is_scored_BT]
    targets_N = targets_BT[is_scored_BT]
    nats_N = torch.cat(
        [
            F.cross_entropy(model.logits(x_rows).float(), target_rows, reduction="none")
            for x_rows, target_rows in zip(torch.split(x_ND, _LOGIT_ROWS), torch.split(targets_N, _LOGIT_ROWS), strict=True)
        ]
    )
    row_N = is_scored_BT.nonzero()[:, 0].cpu().numpy()
    nats = np.bincount(row_N, weights=nats_N.double().cpu().numpy(), minlength=len(batch))
    return nats.astype(np.float64), len(row_N)
