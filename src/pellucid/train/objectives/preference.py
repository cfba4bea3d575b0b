"""What objectives on preference pairs have in common: both answers in one pass, their log-probabilities, and an exact gradient.

An objective is a formula of log-probabilities, (P, 2) numbers. Their gradients pass through the head's product, whose logits are
never all held: the formula's own derivative says how much each answer counts, and the cross-entropy of its tokens, weighted by
that, has the gradient. So the head's product is computed once more than for next tokens, and only where answers are.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.batches.batch import IGNORE
from pellucid.model.decoder import Decoder
from pellucid.train.feed import MicroBatch, ObjectiveLoss
from pellucid.train.loss import token_loss

__all__ = ["Formula", "Pairs", "compare", "preference_loss", "reference_figures", "sequence_logps"]


class Pairs(NamedTuple):
    """P pairs of answers. Column 0 is the chosen one, column 1 the rejected one."""

    logp_P2: Tensor
    """Log-probability of each answer, its targets' summed, in nats."""
    targets_P2: Tensor
    """How many targets that is, at least 1; of the type of the others."""
    reference_P2: Tensor | None = None
    """The same log-probability under the model that training began with, for objectives that stay near it."""

    @property
    def log_ratios(self) -> Tensor:
        """Log of each answer's probability over its probability under the reference, (P, 2)."""
        assert self.reference_P2 is not None, "the batch has no reference log-probabilities"
        return self.logp_P2 - self.reference_P2


Formula = Callable[[Pairs], tuple[Tensor, Mapping[str, Tensor]]]
"""From pairs to the loss of each, (P,), differentiable, and the figures to be shown, (P,) each."""


def preference_loss(model: Decoder, batch: MicroBatch, formula: Formula) -> ObjectiveLoss:
    """Return the formula's loss summed over the pairs, with its exact gradient, and of each pair.

    The batch has 2P rows, chosen, rejected, chosen, ...; `batch.values["reference"]`, (P, 2), goes to the formula if it is there.
    """
    x_BTD = model(batch.ids_BT, batch.positions_BT, batch.documents)
    with torch.no_grad():
        nats_BT = token_loss(x_BTD, model.head_weight, batch.targets_BT, rows_N=batch.rows_N).nats_BT
    logp_P2 = -nats_BT.sum(dim=1).view(-1, 2)
    targets_P2 = (batch.targets_BT != IGNORE).sum(dim=1).clamp(min=1).view(-1, 2).to(logp_P2.dtype)
    differentiate = torch.is_grad_enabled()
    loss_P, figures = formula(Pairs(logp_P2.requires_grad_(differentiate), targets_P2, batch.values.get("reference")))
    loss_sum = loss_P.detach().sum()
    if differentiate:
        (slope_P2,) = torch.autograd.grad(loss_P.sum(), logp_P2)
        weights_BT = -slope_P2.view(-1, 1).expand_as(batch.targets_BT)
        weighted = token_loss(x_BTD, model.head_weight, batch.targets_BT, weights_BT=weights_BT, rows_N=batch.rows_N).loss_sum
        loss_sum = loss_sum + (weighted - weighted.detach())
    return ObjectiveLoss(loss_sum, loss_P.detach(), {name: figure_P.detach() for name, figure_P in figures.items()})


def reference_figures(pairs: Pairs, beta: float) -> dict[str, Tensor]:
    """Return the figures of objectives with a reference: those of `compare`, with the reward β · log ratio of the whole answer
    (DPO, arXiv 2305.18290, section 4), and `kl`.

    `kl` is the log ratio in nats, the mean of both answers. It would estimate KL(model ‖ reference) without bias if the answers
    were the model's own; these are given, so it says how far the model has moved on them, and may be negative.
    """
    log_ratio_P2 = pairs.log_ratios
    # Sums that were added up in another order differ by a few roundings, which say nothing about a preference.
    rounding_P = 8 * torch.finfo(torch.float32).eps * pairs.logp_P2.detach().abs().amax(dim=1)
    return {**compare(pairs.logp_P2, beta * log_ratio_P2, beta * rounding_P), "kl": log_ratio_P2.mean(dim=1)}


def compare(logp_P2: Tensor, reward_P2: Tensor, tie_P: Tensor | None = None) -> dict[str, Tensor]:
    """Return log-probabilities and rewards of both sides, the margin between the rewards, and the accuracy: 1 where the chosen
    answer's is larger, 1/2 where they are equal or differ by `tie_P` at most, as before the first step."""
    margin_P = reward_P2[:, 0] - reward_P2[:, 1]
    return {
        "chosen_logp": logp_P2[:, 0],
        "rejected_logp": logp_P2[:, 1],
        "chosen_reward": reward_P2[:, 0],
        "rejected_reward": reward_P2[:, 1],
        "margin": margin_P,
        "accuracy": ((margin_P if tie_P is None else torch.where(margin_P.abs() <= tie_P, 0.0, margin_P)).sign() + 1) / 2,
    }


@torch.no_grad()
def sequence_logps(model: Decoder, batch: MicroBatch) -> Tensor:
    """Return the log-probability of each row's targets, summed, in nats, float32 (rows,): what references are made of."""
    x_BTD = model(batch.ids_BT, batch.positions_BT, batch.documents)
    return -token_loss(x_BTD, model.head_weight, batch.targets_BT, rows_N=batch.rows_N).nats_BT.sum(dim=1)
