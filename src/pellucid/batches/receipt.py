"""The receipt of a training stage: what was planned and what was consumed, by source, and what the order is a function of."""

from collections.abc import Sequence
from typing import Any

from pellucid.batches.mixture import BLOCK_SEQS
from pellucid.batches.order import DataOrder
from pellucid.batches.unique import run_use

__all__ = ["build_receipt"]


def build_receipt(
    order: DataOrder, *, steps: int, total_steps: int, batch_seqs: int, earlier: Sequence[tuple[DataOrder, int]] = ()
) -> dict[str, Any]:
    """Return the receipt after `steps` of `total_steps` steps, as plain JSON values.

    `planned` and `consumed` each hold sequences, tokens and one `SourceUse` by source; they are equal when the stage is finished.
    `run` holds one `RunUse` by source over this stage and the `earlier` ones, which are orders and how many sequences were read.
    `order` names all that decides which tokens a step sees, apart from the tokens themselves (the shards' manifest digests them).
    """
    return {
        "order": {
            "seed": order.seed,
            "seq_tokens": order.seq_tokens,
            "batch_seqs": batch_seqs,
            "block_seqs": BLOCK_SEQS,
            "attention": order.attention,
            "packing": order.packing,
            "parts": order.parts,
            "weights": dict(zip(order.source_names, order.shares, strict=True)),
        },
        "steps": {"planned": total_steps, "consumed": steps},
        "planned": _totals(order, total_steps * batch_seqs),
        "consumed": _totals(order, steps * batch_seqs),
        "run": {"stages": len(earlier) + 1, "sources": run_use([*earlier, (order, steps * batch_seqs)])},
    }


def _totals(order: DataOrder, total_seqs: int) -> dict[str, Any]:
    return {"sequences": total_seqs, "tokens": total_seqs * order.seq_tokens, "sources": order.consumed(total_seqs)}
