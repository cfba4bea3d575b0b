"""Sequences of whole documents, as training reads them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.batches.batch import IGNORE
from pellucid.batches.inspect import inspect_step
from pellucid.batches.packed import PackedOrder
from pellucid.batches.packing import cut_by_windows
from pellucid.core.errors import DataError

Make = Callable[..., Any]
EOS = 0
T = 32


@pytest.fixture(scope="module")
def streams(make_stream: Make) -> dict[str, Any]:
    lengths = np.random.default_rng(4).integers(1, 50, 200).tolist()
    return {"many": make_stream(*lengths, 200, seed=1), "short": make_stream(5, 9, 3, seed=2)}


WEIGHTS = {"many": 0.9, "short": 0.1}


def expected(order: PackedOrder, index: int) -> dict[str, list[int]]:
    """The rows of a batch said plainly, from the sequence's pieces."""
    sequence = order.sequence(index)
    stream = order.streams[order.source_names.index(sequence.source)]
    begins = set(stream.document_starts.tolist())
    ids, targets_ok, positions, documents = [], [], [], []
    for number, piece in enumerate(sequence.pieces):
        for at in range(piece.tokens):
            ids.append(int(stream.read(piece.start + at, 1)[0]))
            foretold = order.attention == "causal" and piece.start in begins
            targets_ok.append(at > 0 or foretold)
            positions.append(at)
            documents.append(number)
    padding = T + 1 - len(ids)
    ids += [EOS] * padding
    targets = [token if ok else IGNORE for token, ok in zip(ids, targets_ok + [False] * padding, strict=True)]
    return {
        "ids": ids[:-1],
        "targets": targets[1:],
        "positions": (positions + list(range(padding)))[:-1],
        "documents": (documents + [len(sequence.pieces)] * padding)[:-1],
    }


@pytest.mark.parametrize("attention", ["causal", "document"])
def test_batches_are_the_pieces_in_a_row_with_padding_behind_and_no_false_targets(streams: dict[str, Any], attention: Any) -> None:
    order = PackedOrder(streams, WEIGHTS, T, 7, attention)
    batch = order.sequences(0, 200)
    for row in range(200):
        wanted = expected(order, row)
        assert batch.ids_BT[row].tolist() == wanted["ids"]
        assert batch.targets_BT[row].tolist() == wanted["targets"]
        if attention == "document":
            assert batch.positions_BT is not None and batch.documents_BT is not None
            assert batch.positions_BT[row].tolist() == wanted["positions"]
            assert batch.documents_BT[row].tolist() == wanted["documents"]
    assert (batch.positions_BT is None) == (attention == "causal")
    assert batch.target_tokens == (batch.targets_BT != IGNORE).sum()


@pytest.mark.parametrize("attention", ["causal", "document"])
def test_an_epoch_holds_every_token_once_and_what_is_padded_and_masked_is_known(streams: dict[str, Any], attention: Any) -> None:
    for name, stream in streams.items():
        order = PackedOrder({name: stream}, {name: 1}, T, 7, attention)
        use = order.consumed(0)[name]
        packs = use["windows_per_epoch"]
        held = np.zeros(stream.tokens, dtype=int)
        for index in range(packs):
            for piece in order.sequence(index).pieces:
                held[piece.start : piece.start + piece.tokens] += 1
        assert (held == 1).all()
        use, batch = order.consumed(packs)[name], order.sequences(0, packs)
        assert (use["seen_tokens"], use["unseen_tokens"], use["tail_tokens"], use["epochs"]) == (stream.tokens, 0, 0, 1)
        assert use["padding_tokens"] == packs * (T + 1) - stream.tokens
        assert (batch.targets_BT == IGNORE).sum() == use["padding_tokens"] + use["masked_tokens_per_epoch"]
        assert use["cut_documents_per_epoch"] == (np.diff(stream.document_starts) > T + 1).sum()
        assert use["cut_documents_by_windows"] == cut_by_windows(stream.document_starts, T)


@given(st.integers(0, 400))
@settings(max_examples=20)
def test_what_is_consumed_is_known_at_any_step_without_reading(make_stream: Make, total: int) -> None:
    sources = {"a": make_stream(*[7, 20, 3, 45, 11] * 6, seed=3), "b": make_stream(*[13] * 40, seed=4)}
    order = PackedOrder(sources, {"a": 2, "b": 1}, T, 5)
    account = order.consumed(total)
    seen: dict[str, set[int]] = {name: set() for name in sources}
    padding = dict.fromkeys(sources, 0)
    for index in range(total):
        sequence = order.sequence(index)
        tokens = [token for piece in sequence.pieces for token in range(piece.start, piece.start + piece.tokens)]
        seen[sequence.source] |= set(tokens)
        padding[sequence.source] += T + 1 - len(tokens)
    for name, use in account.items():
        assert use["padding_tokens"] == padding[name]
        assert use["tokens"] == use["sequences"] * T
        start_N, length_N = order.spans(name, total)
        covered = {token for start, length in zip(start_N, length_N, strict=True) for token in range(start, start + length)}
        assert covered == seen[name] or use["epochs"] >= 1
        assert use["seen_tokens"] == len(seen[name])
        assert use["seen_tokens"] + use["unseen_tokens"] == sources[name].tokens


@given(st.integers(0, 50), st.sampled_from([1, 2, 4]))
@settings(max_examples=10)
def test_any_rank_and_any_resumed_run_reads_the_same_sequences(make_stream: Make, step: int, ranks: int) -> None:
    sources = {"a": make_stream(*[7, 20, 3, 45, 11] * 6, seed=3), "b": make_stream(*[13] * 40, seed=4)}
    whole = PackedOrder(sources, {"a": 2, "b": 1}, T, 5, "document").batch(step, 8)
    fresh = PackedOrder(dict(reversed(sources.items())), {"b": 1, "a": 2}, T, 5, "document")
    share = 8 // ranks
    for rank in range(ranks):
        fresh.will_read(step * 8 + rank * share, share)
        part = fresh.sequences(step * 8 + rank * share, share)
        rows = slice(rank * share, (rank + 1) * share)
        for name in ("ids_BT", "targets_BT", "positions_BT", "documents_BT"):
            assert np.array_equal(getattr(part, name), getattr(whole, name)[rows])


def test_inspection_shows_the_documents_of_a_pack_and_its_padding(streams: dict[str, Any]) -> None:
    order = PackedOrder(streams, WEIGHTS, T, 7)
    for sequence in inspect_step(order, 3, 16)["sequences"]:
        assert sum(document["tokens"] for document in sequence["documents"]) + sequence["padding_tokens"] == T + 1
        at = 0
        for document in sequence["documents"]:
            assert document["window_token"] == at
            at += document["tokens"]


def test_only_a_source_without_text_is_too_short(make_stream: Make) -> None:
    order = PackedOrder({"a": make_stream(2)}, {"a": 1}, 64, 0)
    assert order.sequences(0, 3).target_tokens == 3
    with pytest.raises(DataError, match="source 'a': has weight 1 and 1 tokens; a sequence needs at least 2"):
        PackedOrder({"a": make_stream(1)}, {"a": 1}, 64, 0)


def test_no_sequences_is_an_empty_batch(streams: dict[str, Any]) -> None:
    for attention in ("causal", "document"):
        assert PackedOrder(streams, WEIGHTS, T, 0, attention).sequences(5, 0).ids_BT.shape == (0, T)
