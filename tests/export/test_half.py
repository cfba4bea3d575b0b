import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.export.half import float16


@given(st.lists(st.floats(-65504, 65504, width=32), min_size=1))
def test_rounding_is_to_the_nearest_and_once(values):
    tensor = torch.tensor(values, dtype=torch.float32)
    assert torch.equal(float16("w", tensor), tensor.half())
    assert bool(torch.isfinite(float16("w", tensor)).all())


@pytest.mark.parametrize("value", [65505.0, -1e6])
def test_what_the_type_does_not_hold_is_refused_by_name(value):
    with pytest.raises(ArtifactError, match=r"mlp\.up reaches .*65504"):
        float16("mlp.up", torch.tensor([0.0, value]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(ArtifactError, match=r"mlp\.up holds values that are not finite"):
        float16("mlp.up", torch.tensor([0.0, value]))


def test_an_empty_tensor_and_one_of_another_layout_pass():
    assert float16("w", torch.empty(0, 3)).shape == (0, 3)
    assert float16("w", torch.arange(6.0, dtype=torch.float64).view(2, 3).T).is_contiguous()
