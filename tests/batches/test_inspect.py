from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import orjson
import pytest

from pellucid.batches.batch import IGNORE
from pellucid.batches.inspect import inspect_step
from pellucid.batches.order import DataOrder
from pellucid.core.errors import UsageError

Make = Callable[..., Any]


def test_a_step_lists_its_sequences_with_documents_that_cover_each_window(make_stream: Make) -> None:
    streams = {"a": make_stream(30, 1, 5, 200, 64, seed=1), "b": make_stream(*[9] * 50, seed=2)}
    order = DataOrder(streams, {"a": 1, "b": 1}, 32, seed=4, attention="document")
    for step in range(5):
        page = inspect_step(order, step, 6)
        assert (page["step"], page["batch_seqs"], page["seq_tokens"]) == (step, 6, 32)
        batch = order.batch(step, 6)
        for row, sequence in enumerate(page["sequences"]):
            assert sequence["index"] == step * 6 + row
            assert sequence["source"] == order.source_names[batch.source_B[row]]
            assert sequence["start_token"] == sequence["window"] * 32
            masked = [at for first, count in sequence["masked_runs"] for at in range(first, first + count)]
            assert masked == np.flatnonzero(batch.targets_BT[row] == IGNORE).tolist()
            assert sequence["masked_targets"] == len(masked)
            assert sum(document["tokens"] for document in sequence["documents"]) == 33
            starts = streams[sequence["source"]].document_starts
            at = 0
            for document in sequence["documents"]:
                assert document["window_token"] == at
                number = int(document["id"].removeprefix("doc"))
                assert starts[number] + document["from_token"] == sequence["start_token"] + at
                assert document["tokens"] <= starts[number + 1] - starts[number] - document["from_token"]
                assert document["licence"] == "CC0-1.0"
                at += document["tokens"]
                assert document["ends"] == (starts[number + 1] == sequence["start_token"] + at)


def test_the_digest_is_of_the_ids_as_little_endian_uint32(make_stream: Make) -> None:
    order = DataOrder({"a": make_stream(100, 200)}, {"a": 1}, 32, seed=4)
    sequence = inspect_step(order, 2, 2)["sequences"][1]
    ids = order.sequence(5).ids
    assert sequence["sha256"] == sha256(np.asarray(ids, dtype="<u4").tobytes()).hexdigest()
    batch = order.batch(2, 2)
    joined = np.append(batch.ids_BT[1], batch.targets_BT[1, -1])
    assert sequence["sha256"] == sha256(joined.astype("<u4").tobytes()).hexdigest()


def test_excerpts_are_decoded_from_where_each_part_begins(make_stream: Make) -> None:
    order = DataOrder({"a": make_stream(20, 20, 300)}, {"a": 1}, 128, seed=4)
    for sequence in inspect_step(order, 0, 2, decode=lambda ids: " ".join(map(str, ids)))["sequences"]:
        ids = order.sequence(sequence["index"]).ids
        for document in sequence["documents"]:
            shown = [int(number) for number in document["excerpt"].split()]
            assert shown == ids[document["window_token"] :][: len(shown)].tolist()
            assert 0 < len(shown) <= document["tokens"]


def test_a_sequence_shows_all_its_text_in_pieces_that_end_where_documents_end(make_stream: Make) -> None:
    order = DataOrder({"a": make_stream(20, 20, 300)}, {"a": 1}, 128, seed=4, attention="document")
    for sequence in inspect_step(order, 0, 2, decode=lambda ids: " ".join(map(str, ids)))["sequences"]:
        shown = [int(number) for piece in sequence["pieces"] for number in piece["text"].split()]
        assert shown == order.sequence(sequence["index"]).ids.tolist()
        ends = [piece["document"] for piece in sequence["pieces"] if piece["end"]]
        assert ends == [number for number, document in enumerate(sequence["documents"]) if document["ends"]]
        assert sum(piece["masked"] for piece in sequence["pieces"]) == sequence["masked_targets"]


def test_the_page_is_plain_json_and_has_no_excerpt_unless_asked(make_stream: Make) -> None:
    page = inspect_step(DataOrder({"a": make_stream(100)}, {"a": 1}, 32, seed=4), 3, 2)
    assert orjson.loads(orjson.dumps(page)) == page
    assert "excerpt" not in page["sequences"][0]["documents"][0]


def test_a_step_before_the_first_is_refused(make_stream: Make) -> None:
    with pytest.raises(UsageError, match="step -1 does not exist"):
        inspect_step(DataOrder({"a": make_stream(100)}, {"a": 1}, 32, seed=4), -1, 2)


def test_an_excerpt_from_inside_a_document_is_read_as_following_other_text(make_stream: Make) -> None:
    order = DataOrder({"a": make_stream(20, 20, 300)}, {"a": 1}, 128, seed=4)
    page = inspect_step(order, 0, 2, lambda _: "begins", lambda _: "goes on")
    found = {
        (document["from_token"] > 0, document["excerpt"]) for sequence in page["sequences"] for document in sequence["documents"]
    }
    assert found == {(False, "begins"), (True, "goes on")}
