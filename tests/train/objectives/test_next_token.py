from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pellucid.batches.batch import number_pieces
from pellucid.kernels.attention import Documents
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


def conversations(count: int, seed: int = 1, vocab: int = 40) -> list[tuple[list[int], list[bool]]]:
    """Ids of conversations, and which of them the assistant says: runs of either, the last one the assistant's."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        turns = [int(tokens) for tokens in generator.integers(1, 12, size=2 * int(generator.integers(1, 4)))]
        learnt = [bool(turn % 2) for turn, tokens in enumerate(turns) for _ in range(tokens)]
        made.append((generator.integers(4, vocab, size=len(learnt)).tolist(), learnt))
    return made


def one_by_one(sequences: list[tuple[list[int], list[bool]]]) -> list[MicroBatch]:
    return [
        MicroBatch(torch.tensor([ids[:-1]]), torch.where(torch.tensor([learnt[1:]]), torch.tensor([ids[1:]]), -100), None, None)
        for ids, learnt in sequences
    ]


def packed(sequences: list[tuple[list[int], list[bool]]], rows: int, tokens: int, sparse: bool) -> MicroBatch:
    """The conversations in order, as many to a row as fit, each behind the last; what is left over is padding of its own."""
    ids_BT, targets_BT = torch.zeros(rows, tokens, dtype=torch.long), torch.full((rows, tokens), -100)
    begins, row, at = [], 0, 0
    for alone in one_by_one(sequences):
        length = alone.ids_BT.shape[1]
        if at + length > tokens:
            begins, row, at = [*begins, row * tokens + at], row + 1, 0
        ids_BT[row, at : at + length], targets_BT[row, at : at + length] = alone.ids_BT[0], alone.targets_BT[0]
        begins, at = [*begins, row * tokens + at], at + length
    begins += [row * tokens + at, *((later * tokens) for later in range(row + 1, rows))]
    begin_N = np.unique([begin for begin in begins if begin < rows * tokens])
    positions_BT = np.empty((rows, tokens), dtype=np.int64)
    number_BT = torch.from_numpy(number_pieces(begin_N, positions_BT))
    rows_N = (targets_BT.flatten() != -100).nonzero().flatten() if sparse else None
    return MicroBatch(ids_BT, targets_BT, torch.from_numpy(positions_BT), Documents.of(number_BT), rows_N=rows_N)


@pytest.mark.parametrize("tokens", [64, 100])
def test_packed_conversations_have_the_loss_and_gradients_that_they_have_one_by_one(tokens: int) -> None:
    """64 positions are a whole block of the CPU's own attention, 100 are not."""
    model = Decoder(replace_context(128))
    init_weights(model, 1)
    sequences = conversations(9)
    batch = packed(sequences, rows=6, tokens=tokens, sparse=True)
    assert 0.1 < (batch.targets_BT != -100).float().mean() < 0.7
    assert batch.documents is not None and batch.documents.starts_N[-1] == 6 * tokens
    together = next_token(model, batch)
    alone = [next_token(model, one) for one in one_by_one(sequences)]
    torch.testing.assert_close(together.loss_sum, torch.stack([one.loss_sum for one in alone]).sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(together.nats_B.sum(), torch.cat([one.nats_B for one in alone]).sum(), rtol=1e-5, atol=0)
    got = torch.autograd.grad(together.loss_sum, list(model.parameters()))
    want = torch.autograd.grad(torch.stack([one.loss_sum for one in alone]).sum(), list(model.parameters()))
    for (name, _), ours, theirs in zip(model.named_parameters(), got, want, strict=True):
        assert (ours - theirs).norm() < 1e-5 * theirs.norm(), name


def replace_context(tokens: int) -> ModelConfig:
    return CONFIG.model_copy(update={"context_tokens": tokens})


def test_passing_over_positions_without_a_target_changes_nothing() -> None:
    model = Decoder(replace_context(128))
    init_weights(model, 1)
    batch = packed(conversations(9), rows=6, tokens=64, sparse=True)
    sparse, whole = next_token(model, batch, z_loss=1e-3), next_token(model, batch._replace(rows_N=None), z_loss=1e-3)
    torch.testing.assert_close(sparse.nats_B, whole.nats_B)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss.loss_sum, list(model.parameters())) for loss in (sparse, whole)), rtol=1e-5, atol=1e-6
    )


def test_the_answers_of_conversations_have_the_loss_and_the_gradients_of_trl(twins: Any) -> None:
    sequences = conversations(5, vocab=60)
    batch = packed(sequences, rows=3, tokens=64, sparse=True)
    targets = int((batch.targets_BT != -100).sum())
    theirs, ours = twins.trl_sft(sequences), next_token(twins.ours, batch)
    assert ours.loss_sum.item() / targets == pytest.approx(theirs.item(), rel=1e-5)
    twins.assert_same_gradients(ours, targets, theirs)
