"""Sequences put together from several languages."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid.batches.batch import IGNORE
from pellucid.batches.cross_lingual import CrossLingualOrder
from pellucid.batches.inspect import inspect_step
from pellucid.batches.order import DataOrder
from pellucid.core.errors import DataError

Make = Callable[..., Any]
EOS, T, PARTS = 0, 64, 4
PIECE = T // PARTS


@pytest.fixture(scope="module")
def streams(make_stream: Make) -> dict[str, Any]:
    draw = np.random.default_rng(4)
    return {
        "english": make_stream(*draw.integers(1, 40, 100).tolist(), seed=1, languages=("en",)),
        "german": make_stream(*draw.integers(1, 40, 80).tolist(), seed=2, languages=("de",)),
        "mixed": make_stream(*draw.integers(1, 40, 90).tolist(), seed=3, languages=("fr", "en", "nl")),
    }


WEIGHTS = {"english": 0.5, "german": 0.3, "mixed": 0.2}


@pytest.fixture(scope="module")
def order(streams: dict[str, Any]) -> CrossLingualOrder:
    return CrossLingualOrder(streams, WEIGHTS, T, 7, PARTS)


def test_every_position_knows_its_document_and_language(order: CrossLingualOrder) -> None:
    batch = order.sequences(3, 50)
    assert batch.parts == PARTS and batch.positions_BT is None
    assert batch.documents_BT is not None and batch.languages_BT is not None
    assert batch.ids_BT.shape == batch.targets_BT.shape == batch.documents_BT.shape == batch.languages_BT.shape == (50, T)
    assert batch.source_B.shape == (50 * PARTS,)
    for row in range(50):
        sequence, documents = order.sequence(3 + row), []
        for part, piece in enumerate(sequence.pieces):
            stream = order.streams[order.source_names.index(piece.source)]
            assert order.source_names[batch.source_B[row * PARTS + part]] == piece.source
            tokens = stream.read(piece.start, PIECE + 1).astype(int)
            here = slice(part * PIECE, (part + 1) * PIECE)
            assert np.array_equal(sequence.ids[piece.at : piece.at + PIECE + 1], tokens)
            assert np.array_equal(batch.ids_BT[row, here], tokens[:-1])
            assert np.array_equal(batch.targets_BT[row, here], np.where(tokens[:-1] == EOS, IGNORE, tokens[1:]))
            numbers = np.searchsorted(stream.document_starts, piece.start + np.arange(PIECE), side="right") - 1
            codes, languages = stream.document_languages
            assert [order.languages[code] for code in batch.languages_BT[row, here]] == [languages[code] for code in codes[numbers]]
            documents += [(part, number) for number in numbers.tolist()]
        same = np.array([[one == other for other in documents] for one in documents])
        assert np.array_equal(batch.documents_BT[row][:, None] == batch.documents_BT[row][None, :], same)
        assert batch.documents_BT[row, 0] == 0 and set(np.diff(batch.documents_BT[row])) <= {0, 1}


def test_parts_of_a_sequence_are_of_different_sources_of_different_languages(streams: dict[str, Any]) -> None:
    order = CrossLingualOrder(streams, {"english": 0.5, "german": 0.5}, T, 7, 2)
    assert all(len({piece.source for piece in order.sequence(index).pieces}) == 2 for index in range(100))


def test_each_source_gives_its_windows_in_the_order_it_would_alone_and_is_accounted_for(
    streams: dict[str, Any], order: CrossLingualOrder
) -> None:
    plain = DataOrder(streams, WEIGHTS, PIECE, 7)
    total, taken = 300, {name: [] for name in streams}  # type: ignore[var-annotated]
    for index in range(total):
        for piece in order.sequence(index).pieces:
            taken[piece.source].append(piece.start)
    for name, use in order.consumed(total).items():
        source_N, _, _, start_N = plain.locate(np.arange(8 * total))
        alone = start_N[source_N == plain.source_names.index(name)]
        assert taken[name] == alone[: len(taken[name])].tolist()
        assert use["sequences"] == len(taken[name])
        assert use["tokens"] == len(taken[name]) * PIECE
        assert abs(use["realised_share"] - WEIGHTS[name]) < 0.06
    assert sum(use["tokens"] for use in order.consumed(total).values()) == total * T


def test_the_same_step_comes_out_whoever_asks(streams: dict[str, Any], order: CrossLingualOrder) -> None:
    whole = order.batch(9, 8)
    fresh = CrossLingualOrder(dict(reversed(streams.items())), WEIGHTS, T, 7, PARTS)
    fresh.will_read(76, 4)
    half = fresh.sequences(76, 4)
    for name in ("ids_BT", "targets_BT", "documents_BT", "languages_BT"):
        assert np.array_equal(getattr(half, name), getattr(whole, name)[4:])
    assert np.array_equal(half.source_B, whole.source_B[4 * PARTS :])


def test_inspection_names_the_source_of_every_document(order: CrossLingualOrder) -> None:
    for sequence in inspect_step(order, 2, 8)["sequences"]:
        wanted = [piece.source for piece in order.sequence(sequence["index"]).pieces]
        found = [document["source"] for document in sequence["documents"]]
        assert [name for name, before in zip(found, [None, *found], strict=False) if name != before] == [
            name for name, before in zip(wanted, [None, *wanted], strict=False) if name != before
        ]
        assert sequence["padding_tokens"] == 0


def test_no_sequences_is_an_empty_batch_and_a_source_shorter_than_a_part_is_named(
    order: CrossLingualOrder, make_stream: Make
) -> None:
    assert order.sequences(5, 0).ids_BT.shape == (0, T)
    with pytest.raises(DataError, match=r"one window needs seq_tokens / lingual_parts \+ 1 = 17"):
        CrossLingualOrder({"a": make_stream(16)}, {"a": 1}, T, 0, PARTS)
