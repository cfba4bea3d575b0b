from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.train import loss as loss_module
from pellucid.train.loss import CHUNK_ROWS, IGNORE, token_loss


def inputs(
    positions: int = 12, hidden: int = 8, vocab: int = 31, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_BTD = torch.randn(2, positions, hidden, generator=generator).to(dtype).requires_grad_()
    head_VD = torch.randn(vocab, hidden, generator=generator).to(dtype).requires_grad_()
    targets_BT = torch.randint(vocab, (2, positions), generator=generator)
    targets_BT[torch.rand(2, positions, generator=generator) < 0.3] = IGNORE
    return x_BTD, head_VD, targets_BT


def given_targets(targets_BT: torch.Tensor) -> torch.Tensor:
    return (targets_BT.flatten() != IGNORE).nonzero().flatten()


def plain_loss(x_BTD: torch.Tensor, head_VD: torch.Tensor, targets_BT: torch.Tensor, z_loss: float) -> torch.Tensor:
    logits_BTV = F.linear(x_BTD, head_VD).float()
    nats = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORE, reduction="sum")
    log_z_BT = torch.logsumexp(logits_BTV, -1)[targets_BT != IGNORE]
    return nats + z_loss * log_z_BT.square().sum()


@settings(max_examples=40, deadline=None)
@given(
    positions=st.integers(1, 20),
    vocab=st.integers(2, 70),
    chunk_rows=st.integers(1, 50),
    z_loss=st.sampled_from([0.0, 1e-3, 0.5]),
    seed=st.integers(0, 99),
)
def test_loss_and_gradients_equal_plain_autograd_for_any_chunking(
    positions: int, vocab: int, chunk_rows: int, z_loss: float, seed: int
) -> None:
    x_BTD, head_VD, targets_BT = inputs(positions, vocab=vocab, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(loss_module.CHUNK_ROWS, "cpu", chunk_rows)
        ours = token_loss(x_BTD, head_VD, targets_BT, z_loss)
    grads = torch.autograd.grad(ours.loss_sum / 7, (x_BTD, head_VD))
    plain = plain_loss(x_BTD, head_VD, targets_BT, z_loss)
    expected = torch.autograd.grad(plain / 7, (x_BTD, head_VD))
    torch.testing.assert_close(ours.loss_sum, plain, atol=1e-4, rtol=1e-5)
    for got, want in zip(grads, expected, strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    positions=st.integers(1, 20),
    chunk_rows=st.integers(1, 50),
    z_loss=st.sampled_from([0.0, 1e-3]),
    sparse=st.booleans(),
    seed=st.integers(0, 99),
)
def test_weighted_targets_have_the_loss_and_gradients_of_plain_autograd(
    positions: int, chunk_rows: int, z_loss: float, sparse: bool, seed: int
) -> None:
    x_BTD, head_VD, targets_BT = inputs(positions, seed=seed)
    weights_BT = torch.randn(targets_BT.shape, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(loss_module.CHUNK_ROWS, "cpu", chunk_rows)
        ours = token_loss(x_BTD, head_VD, targets_BT, z_loss, weights_BT, given_targets(targets_BT) if sparse else None)
    logits_BTV = F.linear(x_BTD, head_VD)
    nats_N = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORE, reduction="none")
    z_N = torch.logsumexp(logits_BTV, -1).square().flatten() * (targets_BT.flatten() != IGNORE)
    plain = ((nats_N + z_loss * z_N) * weights_BT.flatten()).sum()
    torch.testing.assert_close(ours.loss_sum, plain, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.nats_BT.flatten(), nats_N.detach(), atol=1e-5, rtol=1e-5)
    grads = torch.autograd.grad(ours.loss_sum / 7, (x_BTD, head_VD))
    expected = torch.autograd.grad(plain / 7, (x_BTD, head_VD))
    for got, want in zip(grads, expected, strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_a_weight_that_bfloat16_cannot_hold_is_not_rounded_to_it() -> None:
    x_BTD, head_VD, targets_BT = inputs(positions=40, hidden=16, vocab=300, dtype=torch.bfloat16)
    weight = 1.30078125  # halfway between two numbers of bfloat16
    weights_BT = torch.full(targets_BT.shape, weight)
    plain = torch.autograd.grad(token_loss(x_BTD, head_VD, targets_BT).loss_sum, x_BTD)[0]
    weighed = torch.autograd.grad(token_loss(x_BTD, head_VD, targets_BT, weights_BT=weights_BT).loss_sum, x_BTD)[0]
    share = (weighed.float() * plain.float()).sum() / plain.float().square().sum()
    assert abs(share.item() - weight) < 1e-3
    assert weighed.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_computing_positions_with_a_target_alone_gives_what_computing_all_gives(dtype: torch.dtype) -> None:
    x_BTD, head_VD, targets_BT = inputs(positions=90, hidden=16, vocab=300, dtype=dtype)
    whole = token_loss(x_BTD, head_VD, targets_BT, z_loss=1e-3)
    sparse = token_loss(x_BTD, head_VD, targets_BT, z_loss=1e-3, rows_N=given_targets(targets_BT))
    torch.testing.assert_close(sparse.loss_sum, whole.loss_sum, rtol=1e-6, atol=0)
    torch.testing.assert_close(sparse.nats_BT, whole.nats_BT)
    torch.testing.assert_close(sparse.log_z_BT, whole.log_z_BT)
    grads = [torch.autograd.grad(result.loss_sum, (x_BTD, head_VD)) for result in (sparse, whole)]
    torch.testing.assert_close(*grads)
    assert torch.equal(grads[0][0] == 0, (targets_BT == IGNORE)[:, :, None].expand_as(x_BTD))


def test_only_positions_with_a_target_meet_the_head_and_only_once_without_gradients() -> None:
    x_BTD, head_VD, targets_BT = inputs(positions=100)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        plain = loss_module.product
        patch.setattr(loss_module, "product", lambda x_NI, weight_OI: seen.append(len(x_NI)) or plain(x_NI, weight_OI))
        with torch.no_grad():
            token_loss(x_BTD, head_VD, targets_BT, rows_N=given_targets(targets_BT))
    assert sum(seen) == (targets_BT != IGNORE).sum() < 160


def test_no_position_at_all_to_compute_gives_no_loss_and_no_gradient() -> None:
    x_BTD, head_VD, targets_BT = inputs()
    nothing = torch.full_like(targets_BT, IGNORE)
    loss = token_loss(x_BTD, head_VD, nothing, 0.1, torch.ones(targets_BT.shape), given_targets(nothing)).loss_sum
    loss.backward()
    assert loss.item() == 0 and not x_BTD.grad.any() and not head_VD.grad.any()


def test_nats_per_token_are_detached_and_add_up_to_the_sum_without_z_loss() -> None:
    x_BTD, head_VD, targets_BT = inputs()
    result = token_loss(x_BTD, head_VD, targets_BT)
    assert not result.nats_BT.requires_grad and not result.log_z_BT.requires_grad
    torch.testing.assert_close(result.nats_BT.sum(), result.loss_sum.detach())
    assert torch.all(result.nats_BT[targets_BT == IGNORE] == 0)
    assert torch.all(result.nats_BT[targets_BT != IGNORE] > 0)
    torch.testing.assert_close(token_loss(x_BTD, head_VD, targets_BT, z_loss=0.1).nats_BT, result.nats_BT)


def test_without_gradients_the_same_figures_come_out() -> None:
    x_BTD, head_VD, targets_BT = inputs()
    with torch.no_grad():
        scored = token_loss(x_BTD, head_VD, targets_BT)
    assert not scored.loss_sum.requires_grad
    torch.testing.assert_close(scored.loss_sum, token_loss(x_BTD, head_VD, targets_BT).loss_sum.detach())


def test_a_batch_without_any_target_has_no_loss_and_no_gradient() -> None:
    x_BTD, head_VD, targets_BT = inputs()
    loss = token_loss(x_BTD, head_VD, torch.full_like(targets_BT, IGNORE), z_loss=0.1).loss_sum
    loss.backward()
    assert loss.item() == 0 and not x_BTD.grad.any() and not head_VD.grad.any()


def test_a_frozen_head_or_frozen_hidden_states_still_give_the_other_gradient() -> None:
    x_BTD, head_VD, targets_BT = inputs()
    both = torch.autograd.grad(token_loss(x_BTD, head_VD, targets_BT).loss_sum, (x_BTD, head_VD))
    (only_x,) = torch.autograd.grad(token_loss(x_BTD, head_VD.detach(), targets_BT).loss_sum, x_BTD)
    (only_head,) = torch.autograd.grad(token_loss(x_BTD.detach(), head_VD, targets_BT).loss_sum, head_VD)
    torch.testing.assert_close((only_x, only_head), both)


def test_hopeless_predictions_give_large_finite_losses() -> None:
    x_BTD = torch.tensor([[[200.0, 0.0]]], requires_grad=True)
    head_VD = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    result = token_loss(x_BTD, head_VD, torch.tensor([[1]]))
    result.loss_sum.backward()
    assert result.loss_sum.item() == pytest.approx(400.0) and x_BTD.grad.isfinite().all()


def test_the_softmax_is_float32_under_bfloat16() -> None:
    x_BTD, head_VD, targets_BT = inputs(positions=40, hidden=16, vocab=300, dtype=torch.bfloat16)
    result = token_loss(x_BTD, head_VD, targets_BT, z_loss=1e-3)
    grads = torch.autograd.grad(result.loss_sum, (x_BTD, head_VD))
    wide_x, wide_head = (t.detach().float().requires_grad_() for t in (x_BTD, head_VD))
    plain = plain_loss(wide_x, wide_head, targets_BT, 1e-3)
    expected = torch.autograd.grad(plain, (wide_x, wide_head))
    assert result.loss_sum.dtype == result.nats_BT.dtype == torch.float32
    torch.testing.assert_close(result.loss_sum, plain, rtol=2e-3, atol=0)
    for got, want in zip(grads, expected, strict=True):
        assert got.dtype == torch.bfloat16
        assert (got.float() - want).norm() < 0.01 * want.norm()


def test_autocast_multiplies_in_bfloat16_and_returns_gradients_in_the_parameters_type() -> None:
    x_BTD, head_VD, targets_BT = inputs(hidden=16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = token_loss(x_BTD, head_VD, targets_BT)
    grads = torch.autograd.grad(result.loss_sum, (x_BTD, head_VD))
    assert [g.dtype for g in grads] == [torch.float32, torch.float32]
    assert result.loss_sum.item() == pytest.approx(plain_loss(x_BTD, head_VD, targets_BT, 0).item(), rel=5e-3)


def test_nothing_of_the_size_of_all_logits_is_ever_allocated() -> None:
    """Counts every allocation of a forward and backward pass: peak use grows with one chunk, not with B·T·V."""
    vocab, hidden = 4096, 8
    logits_bytes = {}
    peaks = {}
    for positions in (512, 2048):
        x_BTD, head_VD, targets_BT = inputs(positions, hidden, vocab)
        activities = [torch.profiler.ProfilerActivity.CPU]
        with (
            pytest.MonkeyPatch.context() as patch,
            torch.profiler.profile(activities=activities, profile_memory=True) as profiler,
        ):
            patch.setitem(loss_module.CHUNK_ROWS, "cpu", 64)
            token_loss(x_BTD, head_VD, targets_BT).loss_sum.backward()
        held = peak = 0
        for event in profiler.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                peak = max(peak, held)
        logits_bytes[positions], peaks[positions] = 2 * positions * vocab * 4, peak
    assert peaks[512] > 2**20  # the counting works: at least one chunk was seen
    assert peaks[2048] < logits_bytes[2048] / 4
    assert peaks[2048] - peaks[512] < (logits_bytes[2048] - logits_bytes[512]) / 50


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("learns_head", [True, False])
def test_the_logits_of_one_chunk_are_gone_before_those_of_the_next(storage_watch: Any, bf16: bool, learns_head: bool) -> None:
    positions, vocab, hidden = 2048, 4096, 64
    x_BTD = torch.randn(1, positions, hidden, requires_grad=True)
    head_VD = torch.randn(vocab, hidden, requires_grad=learns_head)
    targets_BT = torch.randint(vocab, (1, positions))
    with storage_watch([x_BTD, head_VD, targets_BT]) as watch, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        token_loss(x_BTD, head_VD, targets_BT)
    compute, table = 2 if bf16 else 4, vocab * hidden
    chunk_bytes = CHUNK_ROWS["cpu"] * vocab * (4 + (2 if bf16 else 0))
    gradients = positions * hidden * compute + (4 * table if learns_head else 0)
    copies = (positions * hidden + table + (table if learns_head else 0)) * 2 if bf16 else 0
    assert watch.peak_bytes == pytest.approx(chunk_bytes + gradients + copies, rel=0.03)
