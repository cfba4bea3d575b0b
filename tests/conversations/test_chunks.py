from pathlib import Path

import numpy as np
import orjson
import pytest

from pellucid.conversations.chunks import DROP, HELDOUT, REFUSED, TRAIN, EncodeTask, encode_chunk
from pellucid.conversations.encode import Encode
from pellucid.conversations.store import Encoded
from pellucid.conversations.turns import Messages
from pellucid.core.errors import DataError, UsageError


def bytes_encode(messages: Messages, last_only: bool) -> Encoded:
    """Each character is an id; answers are targets."""
    if messages[0]["content"] == "refuse":
        raise DataError("the template wants another beginning")
    if messages[0]["content"] == "broken":
        raise UsageError("the template is broken")
    ids = [ord(char) for one in messages for char in one["content"]]
    return Encoded(ids, [one["role"] == "assistant" for one in messages for _ in one["content"]])


def open_bytes() -> Encode:
    return bytes_encode


def task(folder: Path, rows: list[tuple[str, str, str | None]], fates: list[int], limit: int = 100) -> EncodeTask:
    file = folder / "chunk.jsonl"
    with file.open("wb") as out:
        for number, (asked, chosen, rejected) in enumerate(rows, start=1):
            sides = [
                None if answer is None else [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
                for answer in (chosen, rejected)
            ]
            out.write(orjson.dumps([*sides, None, 3.0, {"id": f"a:{number}"}]) + b"\n")
    return EncodeTask("talks", file, bytes(fates), limit, open_bytes)


def test_what_stays_of_a_chunk_comes_out_in_order_with_its_fate(tmp_path: Path) -> None:
    rows = [("Q", "first", None), ("Q", "dropped", None), ("Q", "held out", None), ("Q" * 9, "A", None), ("refuse", "A", None)]
    chunk = encode_chunk(task(tmp_path, rows, [TRAIN, DROP, HELDOUT, TRAIN, TRAIN], limit=6))
    found = list(chunk.examples(1))
    assert [("".join(map(chr, one.ids)), fate, about) for (one,), fate, about, _ in found] == [
        ("Qfirst", TRAIN, {"id": "a:1", "truncated_tokens": 0}),
        ("Qheld ", HELDOUT, {"id": "a:3", "truncated_tokens": 3}),
    ]
    assert chunk.drops.counts == {"nothing left within the context": 1, REFUSED: 1}
    assert chunk.drops.shown[REFUSED] == [
        {"where": "a:5", "detail": "cannot be written as tokens: the template wants another beginning"}
    ]
    assert chunk.ids.dtype == np.uint32


def test_a_pair_is_two_sequences_with_the_scores_that_are_known(tmp_path: Path) -> None:
    ((sequences, fate, _, values),) = encode_chunk(task(tmp_path, [("Q", "good", "bad")], [TRAIN])).examples(2)
    assert ["".join(map(chr, one.ids)) for one in sequences] == ["Qgood", "Qbad"]
    assert fate == TRAIN
    assert np.isnan(values["chosen_score"])
    assert values["rejected_score"] == 3


def test_a_template_that_is_at_fault_itself_stops_with_source_and_record(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="source 'talks': a:1 cannot be written as tokens: the template is broken"):
        encode_chunk(task(tmp_path, [("broken", "A", None)], [TRAIN]))
