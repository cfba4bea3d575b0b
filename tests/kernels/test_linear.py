from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.kernels import linear as kernel
from pellucid.kernels.linear import Linear, PackedWeight, linear


@settings(max_examples=20, deadline=None)
@given(rows=st.sampled_from([1, 7, 63, 64, 65, 128, 192]), bias=st.booleans(), seed=st.integers(0, 9))
def test_linear_equals_torchs(rows: int, bias: bool, seed: int, tensors: Any, check: Any) -> None:
    check(linear, F.linear, tensors((2, rows, 12), (20, 12), *([(20,)] if bias else []), seed=seed))


def test_the_module_begins_as_torchs_does_has_its_names_and_computes_the_same(tensors: Any) -> None:
    torch.manual_seed(1)
    ours = Linear(12, 20)
    torch.manual_seed(1)
    theirs = torch.nn.Linear(12, 20)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    [x] = tensors((2, 100, 12))
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    assert torch.equal(ours(x), linear(x, ours.weight, ours.bias))


@pytest.mark.parametrize("rows", [3, 100])
def test_bfloat16_and_autocast_go_to_torch(rows: int, tensors: Any) -> None:
    x, weight = tensors((rows, 12), (20, 12), dtype=torch.bfloat16)
    assert torch.equal(linear(x, weight), F.linear(x, weight))
    x, weight = tensors((rows, 12), (20, 12))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16


def test_without_the_onednn_operator_everything_still_works(monkeypatch: pytest.MonkeyPatch, tensors: Any, check: Any) -> None:
    monkeypatch.setattr(kernel, "_onednn", None)
    check(linear, F.linear, tensors((2, 100, 12), (20, 12), (20,)))


def test_frozen_weights_get_no_gradient_and_the_input_still_does(tensors: Any) -> None:
    x, weight, bias = tensors((100, 12), (20, 12), (20,))
    (dx,) = torch.autograd.grad(linear(x, weight.detach(), bias.detach()).sum(), x)
    torch.testing.assert_close(dx, weight.detach().sum(0).expand(100, 12), atol=1e-5, rtol=1e-5)


def test_the_same_bits_come_out_each_time(tensors: Any) -> None:
    inputs = tensors((500, 70), (90, 70))
    once, again = (torch.autograd.grad(linear(*inputs).square().sum(), inputs) for _ in range(2))
    assert all(map(torch.equal, once, again))


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 70), shape=st.sampled_from([(20, 12), (61, 32), (7, 13), (256, 64)]), bias=st.booleans())
def test_a_packed_weight_gives_the_same_product(rows: int, shape: tuple[int, int], bias: bool) -> None:
    generator = torch.Generator().manual_seed(rows)
    weight_OI, b_O = torch.randn(shape, generator=generator), torch.randn(shape[0], generator=generator) if bias else None
    x_BTI = torch.randn(2, rows, shape[1], generator=generator)
    for laid_out in (weight_OI, weight_OI.t().contiguous().t()):
        with torch.no_grad():
            assert torch.allclose(PackedWeight(laid_out).product(x_BTI, b_O), F.linear(x_BTI, weight_OI, b_O), atol=1e-4)


def test_a_torch_without_the_operator_keeps_the_weight_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_pack", None)
    weight_OI, x_NI = torch.randn(20, 12), torch.randn(5, 12)
    assert torch.equal(PackedWeight(weight_OI).product(x_NI), F.linear(x_NI, weight_OI))
