from typing import Any

import torch
import torch.nn.functional as F

from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.train.feed import MicroBatch
from pellucid.train.objectives.next_token import next_token

CONFIG = ModelConfig(
    vocab_tokens=40, context_tokens=8, layers=1, hidden=16, heads=2, kv_heads=2, mlp_hidden=24, norm="layernorm",
    norm_bias=False, rotary_frac=0.25, qkv_bias=False, tied_head=False,
)  # fmt: skip


def make() -> tuple[Decoder, MicroBatch]:
    model = Decoder(CONFIG)
    init_weights(model, 1)
    ids_BT = torch.randint(0, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    targets_BT = ids_BT[:, 1:].clone()
    targets_BT[0, 2] = -100
    return model, MicroBatch(ids_BT[:, :-1], targets_BT, None, None)


def reference(model: Decoder, batch: MicroBatch) -> torch.Tensor:
    logits_BTV: Any = model.logits(model(batch.ids_BT))
    return F.cross_entropy(logits_BTV.flatten(0, 1), batch.targets_BT.flatten(), reduction="none").view(batch.targets_BT.shape)


def test_it_is_the_plain_cross_entropy_summed_with_each_sequence_told_apart() -> None:
    model, batch = make()
    loss = next_token(model, batch)
    torch.testing.assert_close(loss.nats_B, reference(model, batch).sum(1).detach())
    torch.testing.assert_close(loss.loss_sum, reference(model, batch).sum())
    assert not loss.nats_B.requires_grad


def test_its_gradient_is_the_plain_one() -> None:
    model, batch = make()
    next_token(model, batch).loss_sum.backward()
    ours = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    reference(model, batch).sum().backward()
    torch.testing.assert_close(ours, [parameter.grad for parameter in model.parameters()])


def test_the_z_loss_is_in_the_sum_and_not_in_the_reported_nats() -> None:
    model, batch = make()
    plain, with_z = next_token(model, batch), next_token(model, batch, z_loss=0.1)
    assert torch.equal(plain.nats_B, with_z.nats_B)
    assert with_z.loss_sum > plain.loss_sum
