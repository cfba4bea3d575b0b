import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.train.feed import MicroBatch
from pellucid.train.objectives.preference import Pairs, compare, preference_loss, reference_figures, sequence_logps


def plain_logps(twins: Any, batch: MicroBatch) -> Tensor:
    """Summed log-probabilities of each row by plain autograd on all logits."""
    logits_BTV = twins.ours.logits(twins.ours(batch.ids_BT)).float()
    nats = F.cross_entropy(logits_BTV.flatten(0, 1), batch.targets_BT.flatten(), ignore_index=-100, reduction="none")
    return -nats.view(batch.targets_BT.shape).sum(1)


def odd(pairs: Pairs) -> tuple[Tensor, Mapping[str, Tensor]]:
    """A formula that treats the sides differently and is linear in neither."""
    logp_P2 = pairs.logp_P2 / 10
    return logp_P2[:, 0].square() * logp_P2[:, 1].cos() + pairs.targets_P2[:, 1], {"sum": logp_P2.sum(1)}


@pytest.mark.parametrize("sparse", [True, False])
def test_any_formula_of_log_probabilities_has_its_value_and_its_exact_gradient(twins: Any, sparse: bool) -> None:
    batch = twins.batch(twins.pairs(4), sparse=sparse)
    loss = preference_loss(twins.ours, batch, odd)
    logp_P2 = plain_logps(twins, batch).view(-1, 2)
    targets_P2 = (batch.targets_BT != -100).sum(1).view(-1, 2)
    plain_P, figures = odd(Pairs(logp_P2, targets_P2))
    torch.testing.assert_close(loss.loss_sum, plain_P.sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(loss.nats_B, plain_P.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss.figures["sum"], figures["sum"].detach(), rtol=1e-5, atol=1e-5)
    assert not loss.nats_B.requires_grad and not loss.figures["sum"].requires_grad
    expected = torch.autograd.grad(plain_P.sum(), list(twins.ours.parameters()))
    for (name, got), want in zip(twins.gradients(loss).items(), expected, strict=True):
        assert (got - want).norm() < 1e-5 * want.norm(), name


def test_the_gradient_scales_with_what_the_sum_is_divided_by(twins: Any) -> None:
    batch = twins.batch(twins.pairs(3))
    whole = torch.autograd.grad(preference_loss(twins.ours, batch, odd).loss_sum, twins.ours.norm.weight)[0]
    part = torch.autograd.grad(preference_loss(twins.ours, batch, odd).loss_sum / 8, twins.ours.norm.weight)[0]
    torch.testing.assert_close(part, whole / 8)


def test_the_loss_of_pairs_is_the_sum_of_what_each_pair_has_by_itself(twins: Any) -> None:
    pairs = twins.pairs(4)
    together = preference_loss(twins.ours, twins.batch(pairs), odd)
    alone = [preference_loss(twins.ours, twins.batch([pair]), odd) for pair in pairs]
    torch.testing.assert_close(together.nats_B, torch.cat([one.nats_B for one in alone]), rtol=1e-5, atol=1e-5)
    gradients = [twins.gradients(one) for one in alone]
    for name, got in twins.gradients(together).items():
        want = torch.stack([one[name] for one in gradients]).sum(0)
        assert (got - want).norm() < 1e-5 * want.norm(), name


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_same_figures_come_out(twins: Any, context: Any) -> None:
    batch = twins.batch(twins.pairs(3))
    trained = preference_loss(twins.ours, batch, odd)
    with context():
        scored = preference_loss(twins.ours, batch, odd)
    assert not scored.loss_sum.requires_grad
    assert torch.equal(scored.nats_B, trained.nats_B) and torch.equal(scored.loss_sum, trained.loss_sum.detach())


def test_log_probabilities_of_rows_are_those_of_plain_logits_and_carry_no_gradient(twins: Any) -> None:
    batch = twins.batch(twins.pairs(5))
    logps = sequence_logps(twins.ours, batch)
    torch.testing.assert_close(logps, plain_logps(twins, batch).detach(), rtol=1e-5, atol=1e-5)
    assert logps.shape == (10,) and not logps.requires_grad


def test_at_the_reference_itself_nothing_has_moved_and_half_the_pairs_are_right(twins: Any) -> None:
    pairs = twins.pairs(6)
    reference = sequence_logps(twins.ours, twins.batch(pairs)).view(-1, 2)

    def formula(pairs: Pairs) -> tuple[Tensor, Mapping[str, Tensor]]:
        return pairs.logp_P2.sum(1), reference_figures(pairs, 0.1)

    figures = preference_loss(twins.ours, twins.batch(pairs, reference), formula).figures
    for name in ("chosen_reward", "rejected_reward", "margin", "kl"):
        assert not figures[name].any(), name
    assert figures["accuracy"].tolist() == [0.5] * 6
    assert torch.equal(figures["chosen_logp"], reference[:, 0])


def test_figures_of_pairs_are_told_from_their_log_probabilities() -> None:
    logp_P2 = torch.tensor([[-3.0, -5.0], [-4.0, -4.0], [-9.0, -2.0]])
    figures = compare(logp_P2, 2 * logp_P2)
    assert figures["margin"].tolist() == [4.0, 0.0, -14.0]
    assert figures["accuracy"].tolist() == [1.0, 0.5, 0.0]
    assert figures["rejected_logp"].tolist() == [-5.0, -4.0, -2.0] and figures["chosen_reward"].tolist() == [-6.0, -8.0, -18.0]
    pairs = Pairs(logp_P2, torch.ones(3, 2), torch.tensor([[-4.0, -4.0], [-4.0, -4.0], [-8.0, -4.0]]))
    assert reference_figures(pairs, 1.0)["kl"].tolist() == [0.0, 0.0, 0.5]


def test_under_autocast_the_loss_is_float32_and_near(twins: Any) -> None:
    batch = twins.batch(twins.pairs(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = preference_loss(twins.ours, batch, odd)
    assert half.loss_sum.dtype == half.nats_B.dtype == torch.float32
    assert math.isclose(half.loss_sum.item(), preference_loss(twins.ours, batch, odd).loss_sum.item(), rel_tol=0.1)
    assert all(gradient.isfinite().all() for gradient in twins.gradients(half).values())
