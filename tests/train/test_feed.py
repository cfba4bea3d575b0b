from dataclasses import replace
from typing import Any

import numpy as np
import torch

from pellucid.batches.batch import IGNORE, Batch
from pellucid.train.feed import micro_batches, units_by_sequence


def test_micro_batches_are_the_batch_in_order_with_a_shorter_last_one(tiny: Any) -> None:
    batch = tiny.order(attention="document").sequences(3, 5)
    parts = list(micro_batches(batch, 2, torch.device("cpu")))
    assert [len(part.ids_BT) for part in parts] == [2, 2, 1]
    for name in ("ids_BT", "targets_BT", "positions_BT"):
        assert np.array_equal(torch.cat([getattr(part, name) for part in parts]).numpy(), getattr(batch, name))
    numbers = [part.documents.number_BT for part in parts if part.documents is not None]
    assert np.array_equal(torch.cat(numbers).numpy(), batch.documents_BT)
    assert parts[0].ids_BT.dtype == torch.int64


def test_documents_begin_where_positions_are_zero(tiny: Any) -> None:
    batch = tiny.order(attention="document").sequences(3, 5)
    (part,) = micro_batches(batch, 5, torch.device("cpu"))
    starts = np.flatnonzero(batch.positions_BT == 0)
    assert len(starts) > 5
    assert part.documents is not None and part.documents.starts_N.tolist() == [*starts.tolist(), batch.ids_BT.size]


def test_without_document_attention_there_are_no_positions_and_no_documents(tiny: Any) -> None:
    (part,) = micro_batches(tiny.order().sequences(0, 2), 8, torch.device("cpu"))
    assert part.positions_BT is None
    assert part.documents is None


def test_across_languages_positions_run_on_and_parts_are_told_apart(tiny: Any) -> None:
    order = tiny.order_of(tiny.stage(attention="cross_lingual", lingual_parts=4))
    batch = order.sequences(3, 5)
    parts = list(micro_batches(batch, 2, torch.device("cpu")))
    assert [part.parts for part in parts] == [4, 4, 4]
    languages = [part.documents.language_BT for part in parts if part.documents is not None]
    assert np.array_equal(torch.cat(languages).numpy(), batch.languages_BT)
    assert all(part.positions_BT is None for part in parts)
    counts = units_by_sequence(batch)
    assert counts.shape == (20,) and counts.sum() == batch.target_tokens
    assert counts[6] == (batch.targets_BT[1, 16:24] != IGNORE).sum()


def test_targets_are_counted_by_sequence_without_the_ignored_ones(tiny: Any) -> None:
    batch = tiny.order(attention="document").sequences(0, 16)
    counts_B = units_by_sequence(batch)
    assert counts_B.sum() == batch.target_tokens < batch.targets_BT.size
    assert [int((row != IGNORE).sum()) for row in batch.targets_BT] == counts_B.tolist()


def with_targets(batch: Batch, rows: int, targets: int, columns: int = 256) -> Batch:
    """Return the batch with so many rows and columns, and a target at `targets` positions drawn at random."""
    ids_BT = np.resize(batch.ids_BT, (rows, columns))
    targets_M = np.full(rows * columns, IGNORE)
    targets_M[np.random.default_rng(targets).permutation(rows * columns)[:targets]] = 7
    return replace(batch, ids_BT=ids_BT, targets_BT=targets_M.reshape(rows, columns))


def test_positions_without_a_target_are_passed_over_where_there_are_many(tiny: Any) -> None:
    batch = tiny.order().sequences(0, 4)
    assert all(part.rows_N is None for part in micro_batches(batch, 2, torch.device("cpu")))
    few, most = (with_targets(batch, 4, targets) for targets in (300, 900))
    (part,) = micro_batches(few, 4, torch.device("cpu"))
    assert part.rows_N is not None and len(part.rows_N) == 384
    rows_N = part.rows_N.numpy()
    assert (np.diff(rows_N) > 0).all()
    assert set(np.flatnonzero(few.targets_BT != IGNORE)) < set(rows_N)
    (part,) = micro_batches(most, 4, torch.device("cpu"))
    assert part.rows_N is None  # 1 of 8 is too little to be worth it


def test_few_numbers_of_rows_are_met_however_many_targets_there_are(tiny: Any) -> None:
    batch, met = tiny.order().sequences(0, 4), set()
    for targets in range(1, 900, 13):
        (part,) = micro_batches(with_targets(batch, 4, targets), 4, torch.device("cpu"))
        met.add(None if part.rows_N is None else len(part.rows_N))
    assert met == {None, 128, 256, 384, 512, 640, 768, 896}
