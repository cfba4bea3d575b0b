"""The account of one source after any number of sequences, in closed form: nothing is counted while training."""

from typing import TypedDict

__all__ = ["SourceUse", "account_for"]


class SourceUse(TypedDict):
    """What was taken from one source. For one pass: available = seen + unseen + tail + 1 (the first token is never a target).

    `tokens` counts targets served, repeats included; `epochs` is tokens over the targets of one pass. `seen_tokens` were served
    at least once and `unseen_tokens` not yet. `tail_tokens` follow the last whole window and are in no epoch: dropped.
    `masked_tokens_per_epoch` are served without loss, because they begin a document and attention is confined to documents.
    `cut_documents_per_epoch` do not lie whole in one sequence; `cut_documents_by_windows` would not in plain windows.

    With best-fit packing nothing is dropped, available = seen + unseen, and `padding_tokens` of the tokens served are no tokens at
    all. With parts in several languages, sequences are such parts.
    """

    sequences: int
    tokens: int
    epochs: float
    planned_share: float
    realised_share: float
    quota_per_block: int
    windows_per_epoch: int
    available_tokens: int
    seen_tokens: int
    unseen_tokens: int
    tail_tokens: int
    masked_tokens_per_epoch: int
    padding_tokens: int
    cut_documents_per_epoch: int
    cut_documents_by_windows: int


def account_for(
    *,
    sequences: int,
    total_seqs: int,
    share: float,
    quota: int,
    seq_tokens: int,
    available_tokens: int,
    masked_tokens: int,
    cut_documents: int = 0,
) -> SourceUse:
    """Return the account of a source that gave `sequences` of all `total_seqs`, as windows."""
    windows = (available_tokens - 1) // seq_tokens
    seen = min(sequences, windows)
    return SourceUse(
        sequences=sequences,
        tokens=sequences * seq_tokens,
        epochs=sequences / windows,
        planned_share=share,
        realised_share=sequences / total_seqs if total_seqs else 0.0,
        quota_per_block=quota,
        windows_per_epoch=windows,
        available_tokens=available_tokens,
        seen_tokens=seen * seq_tokens,
        unseen_tokens=(windows - seen) * seq_tokens,
        tail_tokens=available_tokens - 1 - windows * seq_tokens,
        masked_tokens_per_epoch=masked_tokens,
        padding_tokens=0,
        cut_documents_per_epoch=cut_documents,
        cut_documents_by_windows=cut_documents,
    )
