import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pellucid.train.objectives.dpo import dpo, dpo_loss
from pellucid.train.objectives.preference import Pairs

LOGPS = st.floats(-60, 0)


def one_pair(
    chosen: float, rejected: float, reference: tuple[float, float] = (0.0, 0.0), tokens: tuple[int, int] = (1, 1)
) -> Pairs:
    values = ([chosen, rejected], list(tokens), list(reference))
    return Pairs(*(torch.tensor([value], dtype=torch.float64) for value in values))


@pytest.mark.parametrize(("beta", "length_normalised"), [(0.01, False), (0.1, False), (2.0, False), (0.7, True)])
def test_loss_rewards_log_probabilities_and_every_gradient_equal_trl(twins: Any, beta: float, length_normalised: bool) -> None:
    pairs, references = twins.pairs(5, seed=1), -30 * torch.rand(5, 2, generator=torch.Generator().manual_seed(2))
    theirs, logged = twins.trl_dpo(pairs, references, "sigmoid_norm" if length_normalised else "sigmoid", beta)
    ours = dpo(twins.ours, twins.batch(pairs, references), beta=beta, length_normalised=length_normalised)
    assert ours.loss_sum.item() / 5 == pytest.approx(theirs.item(), rel=1e-5)
    twins.assert_same_gradients(ours, 5, theirs)
    named = {
        "logps/chosen": "chosen_logp", "logps/rejected": "rejected_logp", "rewards/chosen": "chosen_reward",
        "rewards/rejected": "rejected_reward", "rewards/margins": "margin", "rewards/accuracies": "accuracy",
    }  # fmt: skip
    for name, figure in named.items():
        assert ours.figures[figure].mean().item() == pytest.approx(logged[name], rel=1e-5), name


def test_the_loss_and_the_figures_of_each_pair_by_itself_equal_trl(twins: Any) -> None:
    pairs, references = twins.pairs(4, seed=3), -30 * torch.rand(4, 2, generator=torch.Generator().manual_seed(4))
    ours = dpo(twins.ours, twins.batch(pairs, references), beta=0.3)
    for i, pair in enumerate(pairs):
        theirs, logged = twins.trl_dpo([pair], references[i : i + 1], "sigmoid", 0.3)
        assert ours.nats_B[i].item() == pytest.approx(theirs.item(), rel=1e-5)
        assert ours.figures["margin"][i].item() == pytest.approx(logged["rewards/margins"], rel=1e-5)
        assert ours.figures["accuracy"][i].item() == logged["rewards/accuracies"]


def test_smoothed_labels_equal_trl_where_it_smooths_them(twins: Any) -> None:
    """TRL's sigmoid loss has lost its smoothing; of a single pair, its `aot` loss is DPO's with smoothed labels."""
    pairs, references = twins.pairs(1, seed=5), torch.tensor([[-20.0, -25.0]])
    theirs, _ = twins.trl_dpo(pairs, references, "aot", 0.2, label_smoothing=0.1)
    unsmoothed, _ = twins.trl_dpo(pairs, references, "sigmoid", 0.2, label_smoothing=0.1)
    ours = dpo(twins.ours, twins.batch(pairs, references), beta=0.2, label_smoothing=0.1)
    assert ours.loss_sum.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert abs(theirs.item() - unsmoothed.item()) > 1e-3
    twins.assert_same_gradients(ours, 1, theirs)


@given(LOGPS, LOGPS, LOGPS, LOGPS, st.floats(0.001, 3), st.floats(0, 0.49))
def test_the_loss_is_the_closed_form(w: float, v: float, ref_w: float, ref_v: float, beta: float, smoothing: float) -> None:
    margin = beta * ((w - ref_w) - (v - ref_v))
    right, wrong = 1 / (1 + math.exp(-margin)), 1 / (1 + math.exp(margin))
    expected = -(1 - smoothing) * math.log(right) - smoothing * math.log(wrong)
    assert dpo_loss(one_pair(w, v, (ref_w, ref_v)), beta, smoothing).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(LOGPS, LOGPS, st.floats(0.001, 3))
def test_a_pair_and_its_mirror_image_differ_by_their_margin(chosen: float, rejected: float, beta: float) -> None:
    """-log σ(-z) = z - log σ(z), so swapping the sides adds the margin to the loss."""
    there, back = (dpo_loss(one_pair(*sides), beta).item() for sides in ((chosen, rejected), (rejected, chosen)))
    assert back - there == pytest.approx(beta * (chosen - rejected), abs=1e-9)


@given(LOGPS, LOGPS, st.floats(0.001, 3), st.floats(0.1, 10))
def test_only_the_product_of_beta_and_log_ratios_matters(chosen: float, rejected: float, beta: float, scale: float) -> None:
    here, there = dpo_loss(one_pair(chosen, rejected), beta), dpo_loss(one_pair(scale * chosen, scale * rejected), beta / scale)
    assert here.item() == pytest.approx(there.item(), rel=1e-9, abs=1e-12)


@given(LOGPS, LOGPS, st.floats(-5, 5), st.floats(0.001, 3), st.floats(0, 0.49))
def test_what_both_sides_gain_alike_changes_nothing(w: float, v: float, shift: float, beta: float, smoothing: float) -> None:
    here, there = (dpo_loss(one_pair(w + more, v + more), beta, smoothing).item() for more in (0, shift))
    assert here == pytest.approx(there, rel=1e-9, abs=1e-9)


@given(LOGPS, LOGPS, st.integers(1, 40), st.integers(1, 40))
def test_length_normalised_is_the_plain_loss_of_means(chosen: float, rejected: float, long: int, short: int) -> None:
    got = dpo_loss(one_pair(chosen, rejected, tokens=(long, short)), 0.5, length_normalised=True)
    assert got.item() == pytest.approx(dpo_loss(one_pair(chosen / long, rejected / short), 0.5).item(), rel=1e-9)


def test_before_the_first_step_the_loss_is_the_logarithm_of_two_and_its_slope_half_of_beta() -> None:
    logp_P2 = torch.tensor([[-7.0, -9.0]], dtype=torch.float64, requires_grad=True)
    loss = dpo_loss(Pairs(logp_P2, torch.ones(1, 2), logp_P2.detach()), 0.01)
    (slope,) = torch.autograd.grad(loss.sum(), logp_P2)
    assert loss.item() == pytest.approx(math.log(2))
    assert slope.tolist() == [[pytest.approx(-0.005), pytest.approx(0.005)]]


def test_steps_on_it_make_the_chosen_answers_likelier_than_the_rejected_ones(twins: Any) -> None:
    from copy import deepcopy

    from pellucid.train.objectives.preference import sequence_logps

    model, pairs = deepcopy(twins.ours), twins.pairs(6, seed=7)
    reference: Tensor = sequence_logps(model, twins.batch(pairs)).view(-1, 2)
    batch = twins.batch(pairs, reference)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        (dpo(model, batch, beta=0.5).loss_sum / 6).backward()
        optimizer.step()
    after = dpo(model, batch, beta=0.5)
    assert after.nats_B.mean() < 0.5 * math.log(2)
    assert after.figures["accuracy"].mean() == 1 and (after.figures["margin"] > 0).all()
