import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.export.runtimes.log_softmax import log_softmax


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20), st.floats(-1e3, 1e3))
def test_it_equals_torchs_adds_up_to_one_and_does_not_see_a_shift(logits, shift):
    row = np.array([logits], dtype=np.float64)
    found = log_softmax(row)
    np.testing.assert_allclose(found, torch.log_softmax(torch.from_numpy(row), -1).numpy(), atol=1e-9)
    np.testing.assert_allclose(np.exp(found).sum(), 1, atol=1e-12)
    np.testing.assert_allclose(log_softmax(row + shift), found, atol=1e-9)


def test_it_leaves_the_logits_as_they_are_and_keeps_what_is_no_number():
    logits = np.array([[1.0, 2.0], [np.nan, 0.0]], dtype=np.float32)
    before = logits.copy()
    found = log_softmax(logits)
    np.testing.assert_array_equal(logits, before)
    assert np.isnan(found[1]).all()
    assert not np.isnan(found[0]).any()
