"""The choice of one next token from its logits: temperature, the k most likely, the smallest set with probability p."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.errors import UsageError

__all__ = ["Sampling", "choose"]


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
    """Return one token id. The draw is made on the CPU in float32, so that a seed means the same on every device."""
    logits_V = logits_V.float().cpu()
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    likely_V, ids_V = torch.sort(logits_V / sampling.temperature, descending=True, stable=True)
    if sampling.top_k is not None:
        likely_V = likely_V[: sampling.top_k]
    probability_V = torch.softmax(likely_V, dim=0)
    # A token stays when the more likely ones before it do not reach top_p yet; the first always does.
    probability_V = torch.where(probability_V.cumsum(0) - probability_V < sampling.top_p, probability_V, 0)
    return int(ids_V[torch.multinomial(probability_V, 1, generator=generator)])
