from typing import Any

import torch

from pellucid.train.feed import MicroBatch
from pellucid.train.objectives.next_token import next_token
from pellucid.train.objectives.self_knowledge import self_knowledge

WEIGHT_B = torch.tensor([1.0, 0.1, 0.1, 1.0, 1.0, 0.1])


def batch_of(twins: Any, sparse: bool = True) -> MicroBatch:
    batch: MicroBatch = twins.batch(twins.pairs(3), sparse=sparse)
    return batch._replace(values={"weight": WEIGHT_B})


def test_each_sequence_counts_its_weight_times_its_cross_entropy(twins: Any) -> None:
    batch = batch_of(twins)
    plain, weighed = next_token(twins.ours, batch), self_knowledge(twins.ours, batch)
    torch.testing.assert_close(weighed.nats_B, plain.nats_B * WEIGHT_B)
    torch.testing.assert_close(weighed.loss_sum, (plain.nats_B * WEIGHT_B).sum())
    assert not weighed.nats_B.requires_grad


def test_its_gradient_is_the_weighted_sum_of_the_gradients_of_sequences_by_themselves(twins: Any) -> None:
    batch = batch_of(twins)
    alone = [
        twins.gradients(next_token(twins.ours, MicroBatch(batch.ids_BT[i : i + 1], batch.targets_BT[i : i + 1], None, None)))
        for i in range(6)
    ]
    for name, got in twins.gradients(self_knowledge(twins.ours, batch)).items():
        want = torch.stack([weight * one[name] for weight, one in zip(WEIGHT_B, alone, strict=True)]).sum(0)
        assert (got - want).norm() < 1e-5 * want.norm(), name


def test_with_weights_of_one_it_is_fine_tuning_with_z_loss_and_without(twins: Any) -> None:
    for z_loss in (0.0, 0.1):
        batch = batch_of(twins)._replace(values={"weight": torch.ones(6)})
        plain, weighed = (objective(twins.ours, batch, z_loss=z_loss) for objective in (next_token, self_knowledge))
        assert torch.equal(plain.nats_B, weighed.nats_B)
        torch.testing.assert_close(plain.loss_sum, weighed.loss_sum, rtol=1e-6, atol=0)
        torch.testing.assert_close(twins.gradients(plain), twins.gradients(weighed), rtol=1e-5, atol=1e-6)


def test_only_the_ratio_of_weights_matters_once_the_loss_is_divided_by_weighted_targets(twins: Any) -> None:
    batch = batch_of(twins)
    targets_B = (batch.targets_BT != -100).sum(1)
    means = [
        self_knowledge(twins.ours, batch._replace(values={"weight": weight_B})).loss_sum / (weight_B * targets_B).sum()
        for weight_B in (WEIGHT_B, 7 * WEIGHT_B)
    ]
    torch.testing.assert_close(means[0], means[1])
