"""The choice of one next token from its logits: temperature, the k most likely, the smallest set with probability p."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.core.errors import ArtifactError, UsageError

__all__ = ["Sampling", "choose", "choose_batch"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Raises `UsageError` for values outside their range."""

    temperature: float = 1.0
    """Logits are divided by it; 0 takes the most likely token, the lowest id among equals."""
    top_k: int | None = None
    """Only the k most likely tokens are drawn from; None keeps all."""
    top_p: float = 1.0
    """Only the most likely tokens that together reach this probability are drawn from (Holtzman et al. 2020)."""

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise UsageError(f"temperature is {self.temperature}; it must be 0 (most likely token) or more")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k is {self.top_k}; it must be at least 1, or not given to keep all tokens")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}; it must be above 0 and at most 1 (1 keeps all tokens)")


def choose(logits_V: Tensor, sampling: Sampling, generator: torch.Generator | None = None) -> int:
    """Return one token id, as `choose_batch` does for a single row."""
    return choose_batch(logits_V[None], sampling, [generator])[0]


def choose_batch(logits_BV: Tensor, sampling: Sampling, generators: Sequence[torch.Generator | None]) -> list[int]:
    """Return one token id for each row, drawn with the row's own generator: it depends on no other row.

    Among equally likely tokens the lowest id comes first. A row takes one number from its generator, on the CPU, so that a seed
    means the same on every device; probabilities are float32. Temperature 0 draws nothing. Raises `ArtifactError` for logits that
    are no numbers.
    """
    if sampling.temperature == 0:
        return [int(id_) for id_ in logits_BV.float().argmax(dim=1).tolist()]
    p_BV = torch.softmax(logits_BV.float() / sampling.temperature, dim=1).cpu().numpy()
    points = [torch.rand(1, dtype=torch.float64, generator=generator).item() for generator in generators]
    return [_at(point, p_V, sampling) for point, p_V in zip(points, p_BV, strict=True)]


def _at(point: float, p_V: NDArray[np.float32], sampling: Sampling) -> int:
    """Return the id found at a point, 0 to 1, of the kept tokens' probability, the most likely first.

    Only probabilities are put in order, not ids, and none that cannot be kept: sorting is most of the work.
    """
    top_k = min(sampling.top_k or len(p_V), len(p_V))
    # Tokens less likely than this do not make up 1 - top_p all together; half of it leaves room for rounding.
    least = (1 - sampling.top_p) / (2 * len(p_V))
    p_N = np.partition(p_V, len(p_V) - top_k)[-top_k:] if top_k < len(p_V) else p_V[p_V > least]
    p_N = np.sort(p_N)[::-1]
    reached_N = np.cumsum(p_N, dtype=np.float64)
    if not len(reached_N) or not np.isfinite(reached_N[-1]):
        raise ArtifactError("the model's logits are no numbers (NaN or infinite): its weights are damaged, or training diverged")
    if sampling.top_p < 1:
        # A token stays when the more likely ones before it do not reach top_p yet; the first always does.
        whole = reached_N[-1] if top_k < len(p_V) else 1.0
        reached_N = reached_N[: np.searchsorted(reached_N, sampling.top_p * whole) + 1]
    place = min(int(np.searchsorted(reached_N, point * reached_N[-1], side="right")), len(reached_N) - 1)
    equals = np.flatnonzero(p_V == p_N[place])
    return int(equals[place - np.count_nonzero(p_N > p_N[place])])
