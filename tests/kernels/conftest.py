"""Kernels against plain formulas: values, gradients, and values without gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor


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


@pytest.fixture(name="tensors", scope="session")
def _tensors() -> Any:
    return tensors


@pytest.fixture(name="check", scope="session")
def _check() -> Any:
    return check
