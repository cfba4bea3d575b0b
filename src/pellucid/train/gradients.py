"""How the gradients of a step's micro-batches add up: in place, or exactly, so that no order of adding changes a bit."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from pellucid.train.world import World

__all__ = ["ExactGradients", "Gradients", "LocalGradients"]

# A float32 gradient has 24 bits. Of the 63 that an integer has, 47 are behind the point: steps of 7e-15, below the rounding of any
# gradient that AdamW's eps of 1e-8 lets matter, and room for sums up to 2^16, where a run has diverged long before.
_FRACTION_BITS = 47


class Gradients(Protocol):
    """What the loop needs to know of gradients. After `finish`, every parameter's `grad` is that of the whole step."""

    def micro_step(self, *, last: bool) -> AbstractContextManager[None]:
        """Surround the forward and backward pass of one micro-batch."""

    def finish(self) -> None:
        """Do what remains after the last micro-batch."""


class LocalGradients:
    """One process: autograd adds up."""

    @contextmanager
    def micro_step(self, *, last: bool) -> Iterator[None]:
        """Surround the forward and backward pass of one micro-batch."""
        yield

    def finish(self) -> None:
        """Do nothing."""


class ExactGradients:
    """Fixed-point sums: each micro-batch's gradient is rounded once to a multiple of 2^-47 and added as a 64-bit integer.

    Integers add up to the same sum in any order and grouping, so a step has the same bits on every number of processes, as long as
    its micro-batches are the same. A gradient that is not finite, or beyond what the sum could hold, makes the whole step's
    gradient not a number, on every rank. Costs 8 bytes per parameter, and an all-reduce of twice float32's size.
    """

    def __init__(self, parameters: list[Tensor], micro_steps: int, world: World) -> None:
        self._parameters, self._world = parameters, world
        count = sum(parameter.numel() for parameter in parameters)
        # The last element counts the micro-batches whose gradient could not be added.
        self._sums = torch.zeros(count + 1, dtype=torch.int64, device=parameters[0].device)
        self._largest = 2.0 ** (62 - _FRACTION_BITS) / micro_steps

    @contextmanager
    def micro_step(self, *, last: bool) -> Iterator[None]:
        """Surround the forward and backward pass of one micro-batch, and move its gradient into the sums."""
        yield
        start = 0
        for parameter in self._parameters:
            gradient = parameter.grad
            assert gradient is not None
            fits = gradient.abs().amax() <= self._largest  # false for nan
            scaled = torch.where(fits, gradient, 0.0).double().mul_(2.0**_FRACTION_BITS).round_()
            self._sums[start : start + gradient.numel()] += scaled.view(-1).long()
            self._sums[-1] += ~fits
            start += gradient.numel()
            parameter.grad = None

    def finish(self) -> None:
        """Add up over all ranks, give each parameter its gradient in float32, and begin anew."""
        if self._world.size > 1:
            dist.all_reduce(self._sums)
        spoilt = torch.where(self._sums[-1] > 0, torch.nan, 1.0)
        start = 0
        for parameter in self._parameters:
            part = self._sums[start : start + parameter.numel()].view(parameter.shape)
            parameter.grad = (part.double() * 2.0**-_FRACTION_BITS).to(parameter.dtype) * spoilt.to(parameter.dtype)
            start += parameter.numel()
        self._sums.zero_()
