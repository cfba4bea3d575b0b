"""Open any step of a stage that reads examples: which conversations or pairs it held, what was masked, and a digest."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from pellucid.batches.examples import ExampleOrder
from pellucid.batches.pieces import cut_pieces, runs_of
from pellucid.core.errors import UsageError

__all__ = ["inspect_examples"]

_SIDES = ("chosen", "rejected")


def inspect_examples(
    order: ExampleOrder,
    step: int,
    about: Mapping[str, Sequence[Mapping[str, Any]]],
    decode: Callable[[list[int]], str] | None = None,
) -> dict[str, Any]:
    """Return what one step read (step 0 is the first), as `inspect_step` does for text; `about` is what is known of each source's.

    A document is an example; of pairs each sequence is told twice, with `side` chosen and rejected. A sequence is as long as its
    examples together. Raises `UsageError` for a step that the stage does not have.
    """
    if not 0 <= step < order.total_steps:
        raise UsageError(f"step {step} does not exist; the stage has steps 0 to {order.total_steps - 1}")
    seqs = order.pace.batch_seqs
    sequences = [
        _inspect(order, index, row, about, decode)
        for index in range(step * seqs, min((step + 1) * seqs, order.total_seqs))
        for row in range(order.rows)
    ]
    return {"step": step, "batch_seqs": seqs, "seq_tokens": order.seq_tokens, "sequences": sequences}


def _inspect(
    order: ExampleOrder,
    index: int,
    row: int,
    about: Mapping[str, Sequence[Mapping[str, Any]]],
    decode: Callable[[list[int]], str] | None,
) -> dict[str, Any]:
    ids: list[int] = []
    learnt: list[bool] = []
    documents = []
    for source, number in order.example_of(index):
        ids_T, learnt_T = order.sources[order.source_names.index(source)].read(number * order.rows + row)
        known = {name: about[source][number].get(name, "") for name in ("id", "language", "licence", "origin")}
        place = {"from_token": 0, "window_token": len(ids), "tokens": len(ids_T), "ends": False}
        documents.append({"source": source, **known, **place, "target_tokens": int(learnt_T[1:].sum())})
        ids += ids_T.tolist()
        learnt += [False, *learnt_T[1:].tolist()]
    window_T1, masked_T = np.array(ids, dtype=np.uint32), ~np.array(learnt[1:], dtype=np.bool_)
    return {
        "index": index,
        "source": documents[0]["source"],
        "epoch": index // order.epoch_seqs,
        "window": int(order.locate(np.array([index]))[0]),
        "documents": documents,
        "masked_targets": int(masked_T.sum()),
        "masked_runs": runs_of(masked_T),
        "padding_tokens": 0 if not order.packed else order.seq_tokens - len(ids),
        "sha256": sha256(window_T1.astype("<u4").tobytes()).hexdigest(),
        **({"side": _SIDES[row]} if order.rows > 1 else {}),
        **({} if decode is None else {"pieces": cut_pieces(window_T1, documents, masked_T, decode)}),
    }
