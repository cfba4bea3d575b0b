"""The choice of one next token from its logits: temperature, the k most likely, the smallest set with probability p."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError, UsageError

__all__ = ["Sampling", "choose", "choose_batch"]

_RANKED = 128
"""Tokens that are put in order at first: those beyond are seldom drawn, and to sort a whole vocabulary takes longer than a step."""


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
    p_BV = torch.softmax(logits_BV.float() / sampling.temperature, dim=1)
    point_B1 = torch.stack([torch.rand(1, dtype=torch.float64, generator=generator) for generator in generators])
    chosen_B = _at(point_B1, p_BV, sampling, _RANKED if sampling.top_k is None else sampling.top_k + 1)
    # Few rows need all tokens in order: those whose point lies behind the ones looked at, or among equals that were cut apart.
    rows_N = (chosen_B < 0).nonzero()[:, 0]
    if len(rows_N):
        chosen_B[rows_N] = _at(point_B1[rows_N], p_BV[rows_N.to(p_BV.device)], sampling, p_BV.shape[1])
    return [int(id_) for id_ in chosen_B.tolist()]


def _at(point_B1: Tensor, p_BV: Tensor, sampling: Sampling, ranked: int) -> Tensor:
    """Return the ids found at a point, 0 to 1, of the kept tokens' probability in order, int64 (B,) on the CPU.

    Only the `ranked` most likely tokens are looked at; -1 where they do not decide.
    """
    p_BN, ids_BN = _most_likely(p_BV, ranked)
    whole = p_BN.shape[1] == p_BV.shape[1]
    reached_BN = p_BN.cumsum(dim=1)
    if sampling.top_k is None:
        kept_B1 = p_BV.sum(dim=1, keepdim=True, dtype=torch.float64).cpu()
    else:
        p_BN, reached_BN = p_BN[:, : sampling.top_k + 1], reached_BN[:, : sampling.top_k + 1]
        kept_B1 = reached_BN[:, : sampling.top_k][:, -1:]
    if not kept_B1.isfinite().all():
        raise ArtifactError("the model's logits are no numbers (NaN or infinite): its weights are damaged, or training diverged")
    known_B1 = torch.ones_like(kept_B1, dtype=torch.bool)
    if sampling.top_p < 1:
        # A token stays when the more likely ones before it do not reach top_p yet; the first always does.
        last_B1 = ((reached_BN - p_BN)[:, : sampling.top_k] < sampling.top_p * kept_B1).sum(dim=1, keepdim=True) - 1
        kept_B1, known_B1 = reached_BN.gather(1, last_B1), last_B1 < p_BN.shape[1] - 1
    place_B1 = (reached_BN <= point_B1 * kept_B1).sum(dim=1, keepdim=True).clamp(max=p_BN.shape[1] - 1)
    chosen_B1 = ids_BN.gather(1, place_B1)
    if not whole:
        chosen_B1[~known_B1 | (p_BN.gather(1, place_B1) == p_BN[:, -1:])] = -1
    return chosen_B1[:, 0]


def _most_likely(p_BV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return probabilities, float64, and ids of the most likely tokens in order, (B, count or V) on the CPU.

    Of equal ones the lower id comes first, but for those that are as likely as the last: they may have been cut apart.
    """
    if count >= p_BV.shape[1]:
        p_BN, ids_BN = torch.sort(p_BV, dim=1, descending=True, stable=True)
        return p_BN.cpu().double(), ids_BN.cpu()
    p_BN, ids_BN = (part.cpu() for part in p_BV.topk(count, dim=1))
    ids_BN, by_id_BN = ids_BN.sort(dim=1)
    p_BN, order_BN = p_BN.gather(1, by_id_BN).sort(dim=1, descending=True, stable=True)
    return p_BN.double(), ids_BN.gather(1, order_BN)
