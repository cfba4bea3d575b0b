"""A step of examples opened again holds what the batch held."""

from pathlib import Path

import numpy as np
import pytest

from pellucid.batches.batch import IGNORE
from pellucid.batches.examples import ExampleOrder, Pace
from pellucid.batches.inspect_examples import inspect_examples
from pellucid.conversations.store import Encoded, ExampleWriter
from pellucid.core.errors import UsageError


def order_of(folder: Path, *, pairs: bool) -> tuple[ExampleOrder, dict[str, list[dict[str, object]]]]:
    writer = ExampleWriter(folder, 2 if pairs else 1)
    for number, text in enumerate([b"ask: answer", b"who? me", b"what is it? a long thing", b"no? yes"]):
        at = text.index(b" ") + 1
        sides = [text, text + b"!"] if pairs else [text]
        writer.add(
            [Encoded(list(side), [k >= at for k in range(len(side))]) for side in sides], {"id": f"a/{number}", "language": "en"}
        )
    source = writer.close()
    order = ExampleOrder({"a": source}, 40, 3, Pace(1, 2), 0, packed=not pairs)
    return order, {"a": source.about()}


@pytest.mark.parametrize("pairs", [False, True])
def test_examples_targets_and_texts_are_those_of_the_batch(tmp_path: Path, pairs: bool) -> None:
    order, about = order_of(tmp_path, pairs=pairs)
    told = [
        sequence
        for step in range(order.total_steps)
        for sequence in inspect_examples(order, step, about, lambda ids: bytes(ids).decode())["sequences"]
    ]
    batch = order.sequences(0, order.total_seqs)
    served = [bytes(row[row > 0].tolist()) for row in batch.ids_BT]
    texts = ["".join(piece["text"] for piece in sequence["pieces"]).encode() for sequence in told]
    assert sorted(texts) == sorted(served)
    learnt = sum(sum(document["target_tokens"] for document in sequence["documents"]) for sequence in told)
    assert learnt == np.count_nonzero(batch.targets_BT != IGNORE)
    unmasked = ["".join(p["text"] for p in sequence["pieces"] if not p["masked"]) for sequence in told]
    assert any("a long thing" in text for text in unmasked)
    assert {document["id"] for sequence in told for document in sequence["documents"]} == {f"a/{n}" for n in range(4)}
    assert {sequence.get("side") for sequence in told} == ({"chosen", "rejected"} if pairs else {None})


def test_a_step_that_is_not_there_is_told(tmp_path: Path) -> None:
    order, about = order_of(tmp_path, pairs=False)
    with pytest.raises(UsageError, match="has steps 0 to 0"):
        inspect_examples(order, 1, about)
