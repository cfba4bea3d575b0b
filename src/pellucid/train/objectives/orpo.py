"""Odds ratio preference optimisation (Hong et al. 2024, arXiv 2403.07691): fine-tuning and preferences in one, no reference."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.model.decoder import Decoder
from pellucid.train.feed import MicroBatch, ObjectiveLoss
from pellucid.train.objectives.preference import Pairs, compare, preference_loss

__all__ = ["orpo", "orpo_loss"]

_LEAST_NATS = 1e-6
"""An answer surer than that per token is taken to be as sure: the odds of a certain one are infinite."""


def orpo(model: Decoder, batch: MicroBatch, *, beta: float) -> ObjectiveLoss:
    """Return the loss of each pair, its log-probabilities per token and β times them as rewards, their margin and accuracy, and
    `log_odds`, the log of the odds ratio."""

    def formula(pairs: Pairs) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss_P, log_odds_P = orpo_loss(pairs, beta)
        logp_P2 = pairs.logp_P2 / pairs.targets_P2
        return loss_P, {**compare(logp_P2, beta * logp_P2), "log_odds": log_odds_P}

    return preference_loss(model, batch, formula)


def orpo_loss(pairs: Pairs, beta: float) -> tuple[Tensor, Tensor]:
    """Return the loss and the log of the odds ratio, (P,) each: equations 4 to 7 of the paper with β for λ.

    The loss is the chosen answer's cross-entropy per token, plus β times -log σ(log odds ratio), where odds are P / (1 - P) and
    P is the geometric mean of an answer's token probabilities.
    """
    logp_P2 = pairs.logp_P2 / pairs.targets_P2
    odds_P2 = logp_P2 - torch.log(-torch.expm1(logp_P2.clamp(max=-_LEAST_NATS)))
    log_odds_P = odds_P2[:, 0] - odds_P2[:, 1]
    return -logp_P2[:, 0] - beta * F.logsigmoid(log_odds_P), log_odds_P
