"""Next-token prediction: the objective of pretraining, annealing, context extension, and of supervised fine-tuning.

Fine-tuning on conversations needs nothing else: which tokens the model is to learn to say, and that packed conversations do not see
each other, is in the batch.
"""

from pellucid.model.decoder import Decoder
from pellucid.train.feed import MicroBatch, ObjectiveLoss
from pellucid.train.loss import token_loss

__all__ = ["next_token"]


def next_token(model: Decoder, batch: MicroBatch, *, z_loss: float = 0.0) -> ObjectiveLoss:
    """Return the summed cross-entropy of the targets in nats, with the z-loss in `loss_sum` only."""
    x_BTD = model(batch.ids_BT, batch.positions_BT, batch.documents)
    loss = token_loss(x_BTD, model.head_weight, batch.targets_BT, z_loss, rows_N=batch.rows_N)
    return ObjectiveLoss(loss.loss_sum, loss.nats_BT.view(len(batch.ids_BT) * batch.parts, -1).sum(dim=1))
