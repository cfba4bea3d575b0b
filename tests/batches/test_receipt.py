from collections.abc import Callable
from typing import Any

import orjson

from pellucid.batches.order import DataOrder
from pellucid.batches.receipt import build_receipt
from pellucid.batches.unique import run_use


def test_planned_and_consumed_stand_side_by_side_and_meet_at_the_end(make_stream: Callable[..., Any]) -> None:
    order = DataOrder({"a": make_stream(1000), "b": make_stream(500)}, {"a": 3, "b": 1}, 16, seed=2, attention="document")
    half = build_receipt(order, steps=50, total_steps=100, batch_seqs=8)
    assert half["planned"]["sequences"] == 800
    assert half["consumed"] == {"sequences": 400, "tokens": 6400, "sources": order.consumed(400)}
    assert half["consumed"]["sources"]["a"]["sequences"] == 300
    assert half["order"]["weights"] == {"a": 0.75, "b": 0.25}
    assert half["order"]["attention"] == "document"
    assert orjson.loads(orjson.dumps(half)) == half
    assert (half["order"]["packing"], half["order"]["parts"]) == ("windows", 1)
    assert half["run"] == {"stages": 1, "sources": run_use([(order, 400)])}
    later = build_receipt(order, steps=50, total_steps=100, batch_seqs=8, earlier=[(order, 10)])
    assert later["run"]["stages"] == 2
    assert later["run"]["sources"]["a"]["unique_tokens"] == half["run"]["sources"]["a"]["unique_tokens"]
    done = build_receipt(order, steps=100, total_steps=100, batch_seqs=8)
    assert done["planned"] == done["consumed"] == half["planned"]
