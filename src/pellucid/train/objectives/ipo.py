"""Identity preference optimisation (Azar et al. 2023, arXiv 2310.12036): DPO whose margin has an aim, so that it stops growing."""

from collections.abc import Mapping

from torch import Tensor

from pellucid.model.decoder import Decoder
from pellucid.train.feed import MicroBatch, ObjectiveLoss
from pellucid.train.objectives.preference import Pairs, preference_loss, reference_figures

__all__ = ["ipo", "ipo_loss"]


def ipo(model: Decoder, batch: MicroBatch, *, beta: float) -> ObjectiveLoss:
    """Return the loss of each pair and the figures that DPO shows. Needs `batch.values["reference"]`."""

    def formula(pairs: Pairs) -> tuple[Tensor, Mapping[str, Tensor]]:
        return ipo_loss(pairs, beta), reference_figures(pairs, beta)

    return preference_loss(model, batch, formula)


def ipo_loss(pairs: Pairs, beta: float) -> Tensor:
    """Return (log ratio of the chosen answer - of the rejected one - 1 / 2β)², equation 17 of the paper with β for τ, (P,).

    Log ratios are per token of the answer, without which long answers would weigh most; the paper does not say so, its authors
    told TRL's, and TRL does the same.
    """
    log_ratio_P2 = pairs.log_ratios / pairs.targets_P2
    return (log_ratio_P2[:, 0] - log_ratio_P2[:, 1] - 1 / (2 * beta)).square()
