"""Conditioned training (C-RLFT, OpenChat, Wang et al. 2023, arXiv 2309.11235, section 3): fine-tuning weighted by class.

What the model is to be and what it is not are two classes, each with a role token of its own in the conversations. The paper
rewards the better class with 1 and the other with less; the best policy under that reward, kept near the policy of each class, is
learnt by supervised fine-tuning in which a conversation counts exp(reward / β). Only the ratio of the two weights matters, so the
better class has weight 1, and the weight of the other (`negative_weight`) stands for exp((its reward - 1) / β).
"""

from pellucid.model.decoder import Decoder
from pellucid.train.feed import MicroBatch, ObjectiveLoss
from pellucid.train.loss import token_loss

__all__ = ["self_knowledge"]


def self_knowledge(model: Decoder, batch: MicroBatch, *, z_loss: float = 0.0) -> ObjectiveLoss:
    """Return the cross-entropy of the targets in nats, each sequence's times its weight, `batch.values["weight"]` (B,).

    A step's loss is a weighted mean when `Batch.units_B` holds weight times targets, as OpenChat's own code divides.
    """
    weight_B1 = batch.values["weight"][:, None]
    x_BTD = model(batch.ids_BT, batch.positions_BT, batch.documents)
    weights_BT = weight_B1.expand_as(batch.targets_BT)
    loss = token_loss(x_BTD, model.head_weight, batch.targets_BT, z_loss, weights_BT, batch.rows_N)
    return ObjectiveLoss(loss.loss_sum, (loss.nats_BT * weight_B1).sum(dim=1))
