from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.batches.batch import IGNORE, Batch, confine_to_documents

EOS = 0


@given(st.integers(0, 5), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_positions_documents_and_masks_follow_from_the_end_marks_token_by_token(seqs: int, seq_tokens: int, seed: int) -> None:
    tokens_BT = np.random.default_rng(seed).integers(0, 6, (seqs, seq_tokens + 1))
    targets_BT, positions_BT, documents_BT = confine_to_documents(tokens_BT, EOS)
    assert targets_BT.dtype == positions_BT.dtype == np.int64
    assert documents_BT.dtype == np.int32
    for row in range(seqs):
        position = document = 0
        for t in range(seq_tokens):
            assert positions_BT[row, t] == position
            assert documents_BT[row, t] == document
            ends = tokens_BT[row, t] == EOS
            assert targets_BT[row, t] == (IGNORE if ends else tokens_BT[row, t + 1])
            position, document = (0, document + 1) if ends else (position + 1, document)


def test_masking_leaves_the_inputs_alone() -> None:
    tokens_BT = np.array([[7, EOS, 8, 9, EOS]])
    targets_BT, positions_BT, documents_BT = confine_to_documents(tokens_BT, EOS)
    assert tokens_BT.tolist() == [[7, EOS, 8, 9, EOS]]
    assert targets_BT.tolist() == [[EOS, IGNORE, 9, EOS]]
    assert positions_BT.tolist() == [[0, 1, 0, 1]]
    assert documents_BT.tolist() == [[0, 0, 1, 1]]


def test_targets_that_carry_loss_are_counted() -> None:
    ids_BT = np.array([[1, 2, 3]])
    plain = Batch(ids_BT, ids_BT, np.array([0]), np.array([4]), ("a",))
    assert (plain.target_tokens, plain.first_sequence) == (3, 4)
    targets_BT, positions_BT, documents_BT = confine_to_documents(np.array([[1, EOS, 2, 3]]), EOS)
    assert Batch(ids_BT, targets_BT, np.array([0]), np.array([4]), ("a",), positions_BT, documents_BT).target_tokens == 2


def test_a_batch_becomes_torch_tensors_without_a_copy(make_stream: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    from pellucid.batches.order import DataOrder

    batch = DataOrder({"a": make_stream(50, 60)}, {"a": 1.0}, 8, 1).batch(0, 3)
    ids = torch.from_numpy(batch.ids_BT)
    assert ids.dtype == torch.int64
    assert ids.data_ptr() == batch.ids_BT.__array_interface__["data"][0]
    assert torch.equal(ids[:, 1:], torch.from_numpy(batch.targets_BT)[:, :-1])
