from dataclasses import replace
from typing import Any

import numpy as np
import torch

from pellucid.batches.batch import IGNORE
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


def test_positions_without_a_target_are_passed_over_where_there_are_many(tiny: Any) -> None:
    batch = tiny.order().sequences(0, 4)
    assert all(part.rows_N is None for part in micro_batches(batch, 2, torch.device("cpu")))
    targets_BT = batch.targets_BT.copy()
    targets_BT[:, 1:] = IGNORE
    targets_BT[2:, 3:] = 7
    first, second = micro_batches(replace(batch, targets_BT=targets_BT), 2, torch.device("cpu"))
    assert first.rows_N is not None and first.rows_N.tolist() == [0, 32]
    assert second.rows_N is None  # two of 32 are too few to be worth it
