"""Messages → ids and targets that fit the context: what is too long is cut and counted, what teaches nothing is left out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pellucid.conversations.store import Encoded
from pellucid.conversations.turns import Messages, UnfitError

__all__ = ["Encode", "Fitted", "fit", "fit_example"]

Encode = Callable[[Messages, bool], Encoded]
"""Conversation → ids and targets; the second argument says that only the last answer is learnt."""


class Fitted(NamedTuple):
    """One sequence that fits, and how many of its tokens, up to the last target, were cut off for that."""

    encoded: Encoded
    cut_tokens: int


def fit(encoded: Encoded, limit_tokens: int) -> Fitted | None:
    """Return the sequence up to its last target within `limit_tokens`, or None when no target is left.

    What follows the last target teaches nothing, so it neither stays nor counts as cut. Nothing comes before the first token, so a
    target there is none.
    """
    ids, targets = encoded
    useful = _after_last_target(targets, len(targets))
    end = useful if useful <= limit_tokens else _after_last_target(targets, limit_tokens)
    if end < 2:
        return None
    return Fitted(Encoded(ids[:end], targets[:end]), useful - end)


def _after_last_target(targets: Sequence[bool], end: int) -> int:
    """Return the position after the last target before `end`, 0 when there is none."""
    while end > 0 and not targets[end - 1]:
        end -= 1
    return end


def fit_example(messages: Messages, rejected: Messages | None, encode: Encode, limit_tokens: int) -> list[Fitted]:
    """Return the sequence of a conversation, or those of a pair, chosen first, of each only the last answer learnt.

    Raises `UnfitError` when a sequence has no target left within `limit_tokens`, or when a pair's two sides do not differ any more.
    """
    sides = [messages] if rejected is None else [messages, rejected]
    sequences = []
    for side in sides:
        encoded = encode(side, rejected is not None)
        fitted = fit(encoded, limit_tokens)
        if fitted is None:
            tokens = len(encoded.ids)
            raise UnfitError("nothing left within the context", f"has {tokens} tokens, and no answer within {limit_tokens}")
        sequences.append(fitted)
    if rejected is not None and list(sequences[0].encoded.ids) == list(sequences[1].encoded.ids):
        raise UnfitError("chosen and rejected are equal within the context", f"differs only after {limit_tokens} tokens")
    return sequences
