"""The order of examples: each once an epoch, none after the last, packed or not; batches hold what the sources hold."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.batches.batch import IGNORE
from pellucid.batches.examples import ExampleOrder, Pace
from pellucid.conversations.store import Encoded, Examples, ExampleWriter
from pellucid.core.errors import DataError

PAD = 999
T = 64


def make(folder: Path, name: str, lengths: list[int], pairs: bool = False, weight: bool = False) -> Examples:
    """Examples whose tokens are all different; every third token is a target, the first among them."""
    writer = ExampleWriter(folder / name, 2 if pairs else 1)
    at = 1000 * (1 + sum(map(ord, name)))
    for number, length in enumerate(lengths):
        sequences = []
        for extra in range(2 if pairs else 1):
            count = length + extra
            sequences.append(Encoded(list(range(at, at + count)), [place % 3 == 0 for place in range(count)]))
            at += count
        writer.add(sequences, {"id": number}, {"weight": 0.5 + number} if weight else None)
    return writer.close()


def order_of(
    tmp_path: Path,
    lengths: list[list[int]],
    epochs: float = 1,
    batch: int = 4,
    *,
    packed: bool = True,
    pairs: bool = False,
    **how: bool,
) -> ExampleOrder:
    sources = {f"s{n}": make(tmp_path, f"s{n}", each, pairs, **how) for n, each in enumerate(lengths)}
    return ExampleOrder(sources, T, 7, Pace(epochs, batch), PAD, packed=packed)


LENGTHS = st.lists(st.lists(st.integers(3, T), min_size=1, max_size=12), min_size=1, max_size=3)


@given(LENGTHS, st.integers(1, 3), st.integers(1, 5), st.booleans())
def test_every_token_is_served_once_an_epoch_whatever_the_batch_and_nothing_after_the_last(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], epochs: int, batch: int, packed: bool
) -> None:
    order = order_of(tmp_path_factory.mktemp("e"), lengths, epochs, batch, packed=packed)
    served: list[int] = []
    learnt: list[int] = []
    for step in range(order.total_steps):
        found = order.sequences(step * batch, batch)
        assert found.lengths is not None and found.ids_BT.shape[0] == batch
        for row in range(batch):
            served += found.ids_BT[row, : found.lengths[row]].tolist()
            assert (found.ids_BT[row, found.lengths[row] :] == PAD).all()
        learnt += found.targets_BT[found.targets_BT != IGNORE].tolist()
        # A target is what comes next.
        place = found.targets_BT[:, :-1] != IGNORE
        assert (found.ids_BT[:, 1:][place] == found.targets_BT[:, :-1][place]).all()
    everything = [token for source in order.sources for n in range(source.examples) for token in source.read(n)[0].tolist()]
    assert sorted(served) == sorted(everything * epochs)
    targets = [
        token
        for source in order.sources
        for n in range(source.examples)
        for at, (token, target) in enumerate(zip(*(part.tolist() for part in source.read(n)), strict=True))
        if target and at
    ]
    assert sorted(learnt) == sorted(targets * epochs)
    receipt = order.receipt(order.total_steps)
    assert receipt["planned"] == receipt["consumed"]
    assert receipt["consumed"]["tokens"] == len(served)


def test_packed_examples_see_themselves_only_and_count_their_positions_anew(tmp_path: Path) -> None:
    order = order_of(tmp_path, [[20, 30, 40, 10]])
    batch = order.sequences(0, order.epoch_seqs)
    assert batch.positions_BT is not None and batch.documents_BT is not None and batch.lengths is not None
    for row in range(order.epoch_seqs):
        starts = np.flatnonzero(batch.positions_BT[row] == 0)
        assert len(starts) == len(order.example_of(row)) + (batch.lengths[row] < T)
        assert np.array_equal(np.flatnonzero(np.diff(batch.documents_BT[row])) + 1, starts[1:])
        # The token before an example's first never has it as its target.
        assert (batch.targets_BT[row, starts[1:] - 1] == IGNORE).all()


def test_two_epochs_differ_in_order_and_seeds_do_too(tmp_path: Path) -> None:
    order = order_of(tmp_path, [list(range(3, 40))], 2, packed=False)
    index = np.arange(order.total_seqs)
    first, second = np.split(order.locate(index), 2)
    assert sorted(first) == sorted(second) == list(range(37))
    assert first.tolist() != second.tolist()
    other = ExampleOrder(dict(zip(order.source_names, order.sources, strict=True)), T, 8, order.pace, PAD, packed=False)
    assert other.locate(index).tolist() != order.locate(index).tolist()


def test_a_part_of_an_epoch_is_a_part(tmp_path: Path) -> None:
    order = order_of(tmp_path, [[10] * 10], 1.5, 4, packed=False)
    assert (order.total_seqs, order.total_steps) == (15, 4)
    last = order.sequences(12, 4)
    assert (last.sequence_B >= order.total_seqs).sum() == 1
    assert last.units_B is not None and (last.units_B == 0).sum() == 1
    assert order.receipt(2)["consumed"]["sources"]["s0"]["examples"] == 8


def test_pairs_are_two_rows_each_and_count_as_one(tmp_path: Path) -> None:
    order = order_of(tmp_path, [[10, 50], [20]], 1, 4, packed=False, pairs=True)
    order.values["reference"] = np.arange(6, dtype=np.float32).reshape(3, 2)
    batch = order.sequences(0, 4)
    assert batch.rows == 2 and batch.ids_BT.shape == (8, T)
    assert batch.units_B is not None and batch.lengths is not None
    assert batch.units_B.tolist() == [0, 1, 1, 1]
    assert batch.lengths.tolist() == [0, 0, 10, 11, 20, 21, 50, 51]
    assert batch.values["reference"].tolist() == [[0, 0], [0, 1], [4, 5], [2, 3]]
    assert batch.tokens_by_sequence().tolist() == [0, 21, 41, 101]


def test_weights_make_the_divisor(tmp_path: Path) -> None:
    order = order_of(tmp_path, [[10, 13]], 1, 2, packed=False, weight=True)
    batch = order.sequences(0, 2)
    assert batch.units_B is not None
    assert batch.units_B.tolist() == [3 * 0.5, 4 * 1.5]


def test_what_cannot_be_served_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 65 tokens; seq_tokens is 64"):
        order_of(tmp_path, [[65]])
    with pytest.raises(DataError, match="no example to learn from in s0"):
        order_of(tmp_path / "empty", [[]])
