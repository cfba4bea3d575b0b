"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290)."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from pellucid.model.decoder import Decoder
from pellucid.train.feed import MicroBatch, ObjectiveLoss
from pellucid.train.objectives.preference import Pairs, preference_loss, reference_figures

__all__ = ["dpo", "dpo_loss"]


def dpo(
    model: Decoder, batch: MicroBatch, *, beta: float, label_smoothing: float = 0.0, length_normalised: bool = False
) -> ObjectiveLoss:
    """Return the loss of each pair, and its log-probabilities, rewards, margin, accuracy and `kl` (see `reference_figures`).

    Needs `batch.values["reference"]`. Figures are of whole answers even where the loss is `length_normalised`.
    """

    def formula(pairs: Pairs) -> tuple[Tensor, Mapping[str, Tensor]]:
        return dpo_loss(pairs, beta, label_smoothing, length_normalised), reference_figures(pairs, beta)

    return preference_loss(model, batch, formula)


def dpo_loss(pairs: Pairs, beta: float, label_smoothing: float = 0.0, length_normalised: bool = False) -> Tensor:
    """Return -log σ(β · (log ratio of the chosen answer - of the rejected one)), equation 7 of the paper, (P,).

    With `label_smoothing` ε, of a share ε of pairs the other side is taken to be the better one (cDPO, Mitchell 2023, a note
    on DPO with noisy preferences). `length_normalised`: log ratios per token of the answer.
    """
    log_ratio_P2 = pairs.log_ratios / pairs.targets_P2 if length_normalised else pairs.log_ratios
    margin_P = beta * (log_ratio_P2[:, 0] - log_ratio_P2[:, 1])
    return -(1 - label_smoothing) * F.logsigmoid(margin_P) - label_smoothing * F.logsigmoid(-margin_P)
