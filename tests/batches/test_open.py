"""A stage's keys choose its order."""

from collections.abc import Callable
from typing import Any

import pytest

from pellucid.batches.cross_lingual import CrossLingualOrder
from pellucid.batches.open import open_order
from pellucid.batches.order import DataOrder
from pellucid.batches.packed import PackedOrder
from pellucid.recipe.training import ScheduleConfig, TrainStageConfig


@pytest.mark.parametrize(
    ("keys", "kind", "packing", "parts"),
    [
        ({}, DataOrder, "windows", 1),
        ({"attention": "document"}, DataOrder, "windows", 1),
        ({"packing": "best_fit", "attention": "document"}, PackedOrder, "best_fit", 1),
        ({"attention": "cross_lingual", "lingual_parts": 4}, CrossLingualOrder, "windows", 4),
    ],
)
def test_the_order_is_the_one_that_the_stage_asks_for(
    make_stream: Callable[..., Any], keys: dict[str, Any], kind: type, packing: str, parts: int
) -> None:
    stage = TrainStageConfig(
        name="p", length_tokens=64, batch_tokens=64, seq_tokens=16, micro_seqs=4, schedule=ScheduleConfig(peak_lr=1e-3), **keys
    )
    order = open_order({"a": make_stream(40, 50)}, {"a": 1}, stage, 3)
    assert type(order) is kind
    assert (order.packing, order.parts, order.seq_tokens, order.seed) == (packing, parts, 16, 3)
    assert order.attention == keys.get("attention", "causal")
