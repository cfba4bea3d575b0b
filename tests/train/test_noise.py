"""The gradient noise scale against closed forms and against every single gradient."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.batches.batch import Batch
from pellucid.core.errors import UsageError
from pellucid.model.decoder import Decoder, init_weights
from pellucid.train.device import Device
from pellucid.train.feed import MicroBatch, ObjectiveLoss, micro_batches
from pellucid.train.noise import _student, gradient_noise_scale, noise_scale_of
from pellucid.train.objectives.next_token import next_token

CPU = Device(torch.device("cpu"), "fp32")


class LeastSquares:
    """y = x·w on examples that are known one by one, so that the gradient's mean and covariance are sums over them.

    A sequence is one example of one token; half its squared error is its loss.
    """

    def __init__(self, examples: int = 40, parameters: int = 6) -> None:
        drawn = np.random.default_rng(1)
        self.x_NP = torch.from_numpy(drawn.normal(size=(examples, parameters))).float()
        self.y_N = torch.from_numpy(drawn.normal(1.0, 1.0, examples)).float() + self.x_NP.sum(dim=1)
        self.model = nn.Linear(parameters, 1, bias=False)
        with torch.no_grad():
            self.model.weight.zero_()
        gradient_NP = -(self.y_N[:, None] * self.x_NP).double()
        mean_P = gradient_NP.mean(dim=0)
        self.gradient_norm_squared = float(mean_P @ mean_P)
        self.trace = float(((gradient_NP - mean_P) ** 2).sum() / examples)

    def __call__(self, model: nn.Module, batch: MicroBatch) -> ObjectiveLoss:
        example_B = batch.ids_BT[:, 0]
        loss_B = 0.5 * (model(self.x_NP[example_B])[:, 0] - self.y_N[example_B]) ** 2
        return ObjectiveLoss(loss_B.sum(), loss_B.detach())

    def draw(self, count: int, generator: np.random.Generator) -> Batch:
        ids_B1 = generator.integers(0, len(self.y_N), size=(count, 1))
        return Batch(ids_B1, ids_B1, np.zeros(count, dtype=np.int64), np.arange(count), ("a",))

    def measure(self, count: int, micro_seqs: int, generator: np.random.Generator) -> Any:
        return gradient_noise_scale(self.model, self, self.draw(count, generator), micro_seqs, CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize("micro_seqs", [1, 3])
def test_gradient_and_trace_of_least_squares_are_without_bias_whatever_the_micro_batch(micro_seqs: int) -> None:
    problem, generator = LeastSquares(), np.random.default_rng(2)
    found = [problem.measure(12, micro_seqs, generator) for _ in range(200)]
    for name in ("gradient_norm_squared", "trace"):
        values_R = np.array([getattr(one, name) for one in found])
        error = values_R.std(ddof=1) / np.sqrt(len(values_R))
        assert abs(values_R.mean() - getattr(problem, name)) < 3.5 * error
        assert error < 0.15 * getattr(problem, name)


def test_the_interval_holds_the_true_noise_scale_as_often_as_it_says() -> None:
    # Normal gradients: unit noise in 30 directions and a mean whose square is 30/20, so that the noise scale is 20 micro-batches.
    generator, inside, runs, n, p = np.random.default_rng(3), 0, 500, 48, 30
    mean_P = np.zeros(p)
    mean_P[0] = np.sqrt(p / 20)
    for _ in range(runs):
        gradient_NP = mean_P + generator.normal(size=(n, p))
        found = noise_scale_of((gradient_NP**2).sum(axis=1), gradient_NP @ gradient_NP.sum(axis=0), 100.0)
        low, high = found.low or 0.0, np.inf if found.high is None else found.high
        inside += low <= 2000 <= high
    # A binomial of 500 with p = 0.95 is within 457 and 491 with 99.9 %; a jackknife of products may be somewhat too careful.
    assert 457 <= inside <= 497


def test_it_is_what_all_gradients_of_a_decoder_give_one_by_one(tiny: Any) -> None:
    model = Decoder(tiny.model)
    init_weights(model, 1)
    batch = tiny.order().sequences(40, 12)
    found = gradient_noise_scale(model, next_token, batch, 2, CPU)
    assert all(parameter.grad is None for parameter in model.parameters())
    rows = []
    for micro in micro_batches(batch, 2, CPU.device):
        model.zero_grad()
        (next_token(model, micro).loss_sum / micro.targets_BT.numel()).backward()
        rows.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).double())
    gradient_NP = torch.stack(rows).numpy()
    # Appendix A.1 as it is printed: squared norms of one micro-batch's gradient, averaged, and of the whole batch's.
    small, big = 2 * 32, 12 * 32
    small_square, big_square = (gradient_NP**2).sum(axis=1).mean(), (gradient_NP.mean(axis=0) ** 2).sum()
    norm_squared = (big * big_square - small * small_square) / (big - small)
    trace = (small_square - big_square) / (1 / small - 1 / big)
    assert found.gradient_norm_squared == pytest.approx(norm_squared, rel=1e-4)
    assert found.trace == pytest.approx(trace, rel=1e-4)
    assert found.noise_scale_tokens == pytest.approx(trace / norm_squared, rel=1e-3)
    assert (found.micro_batches, found.micro_tokens) == (6, 64)
    shares = []
    for left_out in range(6):
        kept_NP = np.delete(gradient_NP, left_out, axis=0)
        gram_NN = kept_NP @ kept_NP.T
        shares.append((gram_NN.sum() - np.trace(gram_NN)) / 20 / (np.trace(gram_NN) / 5))
    share = norm_squared / small_square
    reach = 2.5706 * np.sqrt(5 / 6 * ((np.array(shares) - np.mean(shares)) ** 2).sum())
    assert found.low == pytest.approx(64 * (1 / (share + reach) - 1), rel=1e-2)


def test_what_is_frozen_or_unused_counts_for_nothing_and_targets_without_loss_do_not_shift_it(tiny: Any) -> None:
    model = Decoder(tiny.model)
    init_weights(model, 1)
    batch = tiny.order(attention="document").sequences(0, 8)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name == "norm.weight")
    found = gradient_noise_scale(model, next_token, batch, 1, CPU)
    rows, units = [], float((batch.targets_BT >= 0).sum()) / 8
    for micro in micro_batches(batch, 1, CPU.device):
        model.zero_grad()
        (next_token(model, micro).loss_sum / units).backward()
        rows.append(model.norm.weight.grad.double().numpy().copy())  # type: ignore[union-attr]
    gram_NN = np.stack(rows) @ np.stack(rows).T
    assert found.gradient_norm_squared == pytest.approx((gram_NN.sum() - np.trace(gram_NN)) / 56, rel=1e-4)


def test_a_gradient_that_is_lost_in_noise_has_no_noise_scale_and_no_upper_end() -> None:
    generator = np.random.default_rng(5)
    gradient_NP = generator.normal(size=(16, 50))
    gradient_NP -= gradient_NP.mean(axis=0)
    found = noise_scale_of((gradient_NP**2).sum(axis=1), gradient_NP @ gradient_NP.sum(axis=0), 10.0)
    assert found.gradient_norm_squared is not None and found.gradient_norm_squared < 0
    assert found.noise_scale_tokens is None and found.high is None
    broken = noise_scale_of(np.array([1.0, np.nan, 1.0, 1.0]), np.ones(4), 10.0)
    assert broken.to_json() == {**dict.fromkeys(broken.to_json()), "micro_batches": 4, "micro_tokens": 10.0}


def test_equal_gradients_have_no_noise() -> None:
    found = noise_scale_of(np.full(8, 2.0), np.full(8, 16.0), 10.0)
    assert (found.noise_scale_tokens, found.low, found.high, found.trace) == (0.0, 0.0, 0.0, 0.0)
    assert found.gradient_norm_squared == 2.0


@pytest.mark.parametrize(("seqs", "micro_seqs"), [(10, 4), (6, 2), (3, 1)])
def test_batches_that_do_not_divide_or_are_too_few_are_refused(seqs: int, micro_seqs: int) -> None:
    problem = SimpleNamespace(draw=LeastSquares().draw)
    with pytest.raises(UsageError, match=f"{seqs} sequences in micro-batches of {micro_seqs}"):
        gradient_noise_scale(nn.Linear(1, 1), next_token, problem.draw(seqs, np.random.default_rng(1)), micro_seqs, CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize(("freedom", "quantile"), [(3, 3.1824), (5, 2.5706), (31, 2.0395), (255, 1.9693)])
def test_students_quantile_is_that_of_the_tables(freedom: int, quantile: float) -> None:
    assert _student(freedom) == pytest.approx(quantile, rel=0.01)


def test_beside_a_step_of_one_micro_batch_one_gradient_is_held_however_large_the_batch(tiny: Any, storage_watch: type) -> None:
    model = Decoder(tiny.model)
    init_weights(model, 1)
    known, order = [*model.parameters(), *model.buffers()], tiny.order()
    with storage_watch(known) as watch:
        (micro,) = micro_batches(order.sequences(0, 1), 1, CPU.device)
        next_token(model, micro).loss_sum.backward()
    step_bytes = watch.peak_bytes
    peaks = []
    for seqs in (4, 12):
        model.zero_grad()
        with storage_watch(known) as watch:
            gradient_noise_scale(model, next_token, order.sequences(0, seqs), 1, CPU)
        peaks.append(watch.peak_bytes)
    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    assert peaks[0] - step_bytes == pytest.approx(weights, rel=0.1)
    assert peaks[1] - peaks[0] < 0.05 * weights
