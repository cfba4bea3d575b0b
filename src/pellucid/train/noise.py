"""The gradient noise scale: how many tokens a batch needs until more of them hardly make its gradient better.

The simple noise scale is tr(Σ)/|G|² (McCandlish et al. 2018, arXiv 1812.06162, eq. 2.9): G is the gradient over all data, Σ the
covariance of one token's, as batches of whole sequences show it. Appendix A.1 estimates both without bias from the squared norms
of a small batch's gradient and a big one's. With n micro-batches of b tokens as small batches, and all of them as the big one, that
is the same as |G|² = mean of gᵢ·gⱼ over i ≠ j, and tr(Σ) = b · (mean of gᵢ·gᵢ − |G|²), which is how it is computed here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.batches.batch import Batch
from pellucid.core.errors import UsageError
from pellucid.model.decoder import Decoder
from pellucid.train.device import Device
from pellucid.train.feed import Objective, micro_batches, units_by_sequence

__all__ = ["NoiseScale", "gradient_noise_scale", "noise_scale_of"]

_LEAST = 4
"""Micro-batches: with fewer, leaving one out tells nothing of how sure the estimate is."""


@dataclass(frozen=True)
class NoiseScale:
    """An estimate from `micro_batches` gradients of `micro_tokens` tokens each, with its 95 % interval.

    `gradient_norm_squared` (of the mean loss per target, in nats) and `trace` are without bias, so that the first may come out
    below 0 where it is lost in noise. The noise scale is then None, and so is an end of the interval that the data do not bound.
    """

    micro_batches: int
    micro_tokens: float
    gradient_norm_squared: float | None
    trace: float | None
    noise_scale_tokens: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def gradient_noise_scale(model: Decoder, objective: Objective, batch: Batch, micro_seqs: int, device: Device) -> NoiseScale:
    """Return the simple noise scale of a model on a batch, taken `micro_seqs` sequences at a time, as training computes them.

    The micro-batches should be drawn independently. Each gradient is made twice: once for its square and the sum of all, once for
    its product with that sum, which is all that the estimate and its interval need of the n × n products. So beside the weights
    and one micro-batch's activations, two gradients are held: twice the trained parameters in float32, however large the batch.
    Gradients that the model has are cleared. Raises `UsageError` for a batch that does not divide into four micro-batches or more.
    """
    seqs = len(batch.sequence_B)
    if seqs % micro_seqs or seqs // micro_seqs < _LEAST:
        raise UsageError(f"{seqs} sequences in micro-batches of {micro_seqs}: must be a multiple, and at least {_LEAST} of them")
    count = seqs // micro_seqs
    # One divisor for all, so that the mean of the gradients is that of the whole batch, however targets are spread over it.
    units = float(units_by_sequence(batch).sum()) / count or 1.0
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sums = [torch.zeros_like(parameter) for parameter in parameters]

    def each_gradient() -> Iterator[None]:
        """Leave one micro-batch's gradient after the other with the parameters, and nothing at the end."""
        for micro in micro_batches(batch, micro_seqs, device.device):
            _clear(parameters)
            with device.autocast():
                loss = objective(model, micro)
            with device.backward():
                (loss.loss_sum / units).backward()  # type: ignore[no-untyped-call]
            yield
        _clear(parameters)

    squares = []
    for _ in each_gradient():
        squares.append(_dot(parameters, [parameter.grad for parameter in parameters]))
        for total, parameter in zip(sums, parameters, strict=True):
            if parameter.grad is not None:
                total += parameter.grad
    products = [_dot(parameters, sums) for _ in each_gradient()]
    tokens = float(batch.tokens_by_sequence().sum()) / count
    return noise_scale_of(torch.stack(squares).cpu().numpy(), torch.stack(products).cpu().numpy(), tokens)


def _clear(parameters: Sequence[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _dot(parameters: Sequence[Tensor], others: Sequence[Tensor | None]) -> Tensor:
    """Return the product of the parameters' gradient and another, float64."""
    pairs = [(one.grad, other) for one, other in zip(parameters, others, strict=True)]
    parts = [torch.dot(one.flatten(), other.flatten()) for one, other in pairs if one is not None and other is not None]
    return torch.stack(parts).double().sum()


def noise_scale_of(square_N: NDArray[np.float64], product_N: NDArray[np.float64], micro_tokens: float) -> NoiseScale:
    """Return the estimate from each of N micro-batches' gᵢ·gᵢ and gᵢ·Σgⱼ.

    The interval is Student's, by a jackknife over micro-batches of ρ = mean gᵢ·gⱼ / mean gᵢ·gᵢ, of which the noise scale,
    b·(1/ρ − 1), is a falling function: ρ stays near normal where the noise scale itself has no upper end.
    """
    count = len(square_N)
    if not (np.isfinite(square_N).all() and np.isfinite(product_N).all() and square_N.sum() > 0):
        return NoiseScale(count, micro_tokens, None, None, None, None, None)
    cross_N = product_N - square_N
    square, cross = float(square_N.mean()), float(cross_N.sum()) / (count * (count - 1))
    without_N = (cross_N.sum() - 2 * cross_N) / ((count - 1) * (count - 2)) / ((square_N.sum() - square_N) / (count - 1))
    stderr = math.sqrt((count - 1) / count * float(((without_N - without_N.mean()) ** 2).sum()))
    reach = _student(count - 1) * stderr
    scale, low, high = (_scale(cross / square + shift, micro_tokens) for shift in (0.0, reach, -reach))
    return NoiseScale(count, micro_tokens, cross, micro_tokens * (square - cross), scale, low, high)


def _scale(share: float, micro_tokens: float) -> float | None:
    return micro_tokens * (1 / min(share, 1.0) - 1) if share > 0 else None


def _student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, within 1 % from 3 degrees of freedom on (Abramowitz and Stegun 26.7.5)."""
    z = 1.959963984540054
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, start=1))
