"""From text pairs to token sequences, cut to the model's context as lm-evaluation-harness does for its own models."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.heldout import Window, window_spans
from pellucid.evals.subject import Pair

__all__ = ["Request", "encode_pair", "encode_rolling", "make_requests"]


class Request(NamedTuple):
    """`inputs` are what the model reads; the last `targets` of what it should say next are scored, one for each input.

    `targets[j]` follows `inputs[len(inputs) - len(targets) + j]`. `dropped` tokens of the beginning did not fit.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    dropped: int = 0


def encode_pair(
    pair: Pair, encode: Callable[[str], list[int]], first_id: int, *, begins: bool = False
) -> tuple[list[int], list[int]]:
    """Return the ids of context and continuation, encoded as one text and cut where the context's own ids end.

    Blanks that end the context are moved to the continuation, as most vocabularies keep a blank with the word behind it. An empty
    context is `first_id`, the token before any text; where it `begins` every text, it stands before every context. Raises
    `DataError` for an empty continuation.
    """
    context, continuation = pair
    blanks = len(context) - len(context.rstrip())
    if blanks:
        context, continuation = context[:-blanks], context[-blanks:] + continuation
    if not continuation:
        raise DataError(f"the continuation of {context[-60:]!r} is empty; there is nothing to score")
    if not context:
        ids = encode(continuation)
        # A vocabulary that begins every text with a token of its own needs no other.
        return ([first_id], ids) if ids[0] != first_id else (ids[:1], ids[1:])
    whole, context_ids = encode(context + continuation), encode(context)
    # Where both melt into fewer tokens than the context has alone, nothing would be left to score.
    wanted = whole[len(context_ids) :] or encode(continuation)
    return [first_id, *context_ids] if begins else context_ids, wanted


def make_requests(context_ids: Sequence[int], continuation_ids: Sequence[int], context_tokens: int) -> list[Request]:
    """Return what scores a continuation: one request, its context's beginning cut off so that no more than the context is read.

    The model reads all but the last token, so `context_tokens + 1` tokens fit. A continuation that does not fit by itself is read
    in windows, as a whole text is, after the last token of its context. Raises `UsageError` where either has no tokens.
    """
    if not context_ids or not continuation_ids:
        raise UsageError("a request needs at least one token of context and one of continuation")
    if len(continuation_ids) > context_tokens:
        first, *others = encode_rolling(continuation_ids, context_ids[-1], context_tokens)
        return [first._replace(dropped=len(context_ids) - 1), *others]
    tokens = [*context_ids, *continuation_ids]
    dropped = max(0, len(tokens) - 1 - context_tokens)
    return [Request(tuple(tokens[dropped:-1]), tuple(continuation_ids), dropped)]


def encode_rolling(ids: Sequence[int], first_id: int, context_tokens: int) -> list[Request]:
    """Return the requests that together score each token of a text once, in windows of the context's length, one behind another.

    A window begins with the token before its first target, the first one with `first_id`; the last window reaches back as far as
    it can. These are the windows of lm-evaluation-harness with `context_len=1`.
    """
    requests = []
    for start, end, scored in window_spans(len(ids), Window(context_tokens, context_tokens)):
        before = first_id if start == 0 else ids[start - 1]
        requests.append(Request((before, *ids[start : end - 1]), tuple(ids[scored:end])))
    return requests
