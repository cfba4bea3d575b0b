from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pellucid.model import fused

ROWS = st.sampled_from([1, 7, 63, 64, 65, 128, 192])


def tensors(*shapes: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


def check(ours: Callable[..., Tensor], plain: Callable[..., Tensor], inputs: list[Tensor]) -> None:
    """Values and all gradients agree, with gradients asked for and without."""
    got, want = ours(*inputs), plain(*inputs)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    direction = torch.randn(want.shape, generator=torch.Generator().manual_seed(8))
    for one, other in zip(torch.autograd.grad(got, inputs, direction), torch.autograd.grad(want, inputs, direction), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(ours(*inputs), want, atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(rows=ROWS, bias=st.booleans(), seed=st.integers(0, 9))
def test_linear_equals_torchs(rows: int, bias: bool, seed: int) -> None:
    inputs = tensors((2, rows, 12), (20, 12), *([(20,)] if bias else []), seed=seed)
    check(fused.linear, F.linear, inputs)


@settings(max_examples=30, deadline=None)
@given(tokens=ROWS, kv_heads=st.sampled_from([1, 2, 4]), document=st.integers(0, 90), seed=st.integers(0, 9))
def test_attention_equals_torchs_at_any_length_grouping_and_mask(tokens: int, kv_heads: int, document: int, seed: int) -> None:
    inputs = tensors((2, 4, tokens, 8), (2, kv_heads, tokens, 8), (2, kv_heads, tokens, 8), seed=seed)
    mask = None
    if document:
        number = torch.arange(tokens)[None] // torch.tensor([[document], [document + 5]])
        mask = (number[:, None, :, None] == number[:, None, None, :]).tril()

    def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (t.repeat_interleave(4 // kv_heads, dim=1) for t in (k, v))
        weights = (q @ k.mT / 8**0.5).masked_fill(~(torch.ones(tokens, tokens).tril().bool() if mask is None else mask), -torch.inf)
        return weights.softmax(-1) @ v

    check(lambda q, k, v: fused.attention(q, k, v, mask, causal=mask is None and tokens > 1), plain, inputs)


def test_one_new_query_sees_all_keys() -> None:
    q, k, v = tensors((1, 4, 1, 8), (1, 2, 90, 8), (1, 2, 90, 8))
    k_all, v_all = (t.repeat_interleave(2, dim=1) for t in (k, v))
    torch.testing.assert_close(
        fused.attention(q, k, v, None, causal=False), F.scaled_dot_product_attention(q, k_all, v_all), atol=1e-5, rtol=1e-5
    )


def test_the_same_bits_come_out_each_time() -> None:
    inputs = tensors((2, 4, 192, 8), (2, 4, 192, 8), (2, 4, 192, 8))
    x, weight = tensors((500, 70), (90, 70))

    def once() -> list[Tensor]:
        loss = fused.attention(*inputs, None, causal=True).square().sum() + fused.linear(x, weight).square().sum()
        return list(torch.autograd.grad(loss, [*inputs, x, weight]))

    assert all(torch.equal(one, other) for one, other in zip(once(), once(), strict=True))


@pytest.mark.parametrize("rows", [3, 100])
def test_bfloat16_and_autocast_go_to_torch(rows: int) -> None:
    x, weight = tensors((rows, 12), (20, 12), dtype=torch.bfloat16)
    assert torch.equal(fused.linear(x, weight), F.linear(x, weight))
    x, weight = tensors((rows, 12), (20, 12))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fused.linear(x, weight).dtype == torch.bfloat16


def test_without_the_onednn_operator_everything_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_onednn", None)
    check(fused.linear, F.linear, tensors((2, 100, 12), (20, 12), (20,)))


def test_frozen_weights_get_no_gradient_and_the_input_still_does() -> None:
    x, weight, bias = tensors((100, 12), (20, 12), (20,))
    (dx,) = torch.autograd.grad(fused.linear(x, weight.detach(), bias.detach()).sum(), x)
    torch.testing.assert_close(dx, weight.detach().sum(0).expand(100, 12), atol=1e-5, rtol=1e-5)


def test_attention_is_computed_in_float32_under_autocast_and_gives_gradients_back_in_the_inputs_type() -> None:
    inputs = tensors((2, 4, 128, 8), (2, 4, 128, 8), (2, 4, 128, 8), dtype=torch.bfloat16)
    wide = [t.detach().float().requires_grad_() for t in inputs]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = fused.attention(*inputs, None, causal=True)
    want = F.scaled_dot_product_attention(*wide, is_causal=True)
    torch.testing.assert_close(got.float(), want, atol=1e-5, rtol=1e-5)
    for one, other in zip(torch.autograd.grad(got.sum(), inputs), torch.autograd.grad(want.sum(), wide), strict=True):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one.float(), other, atol=2e-2, rtol=2e-2)
