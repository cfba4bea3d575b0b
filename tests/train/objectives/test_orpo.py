import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.train.objectives.orpo import orpo, orpo_loss
from pellucid.train.objectives.preference import Pairs

MEANS = st.floats(-12, -0.001)


def means(chosen: float, rejected: float, tokens: tuple[int, int] = (1, 1)) -> Pairs:
    logp_P2 = torch.tensor([[chosen * tokens[0], rejected * tokens[1]]], dtype=torch.float64)
    return Pairs(logp_P2, torch.tensor([tokens], dtype=torch.float64))


def test_the_whole_loss_and_every_gradient_equal_trl_where_all_but_the_first_token_is_answer(twins: Any) -> None:
    """TRL takes the cross-entropy over prompt and answer of all pairs together; of one pair without a prompt it is the paper's."""
    trainer = twins.trl_orpo(beta=0.3)
    for pair in twins.pairs(3, seed=1, prompt_tokens=0):
        prompt, chosen, rejected = pair
        inputs: dict[str, Any] = {}
        for side, answer in (("chosen", chosen), ("rejected", rejected)):
            inputs[f"{side}_input_ids"] = torch.tensor([prompt + answer])
            inputs[f"{side}_attention_mask"] = torch.ones(1, len(prompt + answer), dtype=torch.long)
            inputs[f"{side}_labels"] = torch.tensor([[-100] * len(prompt) + answer])
        theirs, logged = trainer.get_batch_loss_metrics(twins.theirs.train(), inputs)
        ours = orpo(twins.ours, twins.batch([pair]), beta=0.3)
        assert ours.loss_sum.item() == pytest.approx(theirs.item(), rel=1e-5)
        twins.assert_same_gradients(ours, 1, theirs)
        named = {
            "logps/chosen": "chosen_logp", "logps/rejected": "rejected_logp", "rewards/chosen": "chosen_reward",
            "rewards/margins": "margin", "rewards/accuracies": "accuracy", "log_odds_chosen": "log_odds",
        }  # fmt: skip
        for name, figure in named.items():
            assert ours.figures[figure].item() == pytest.approx(logged[name], rel=1e-5), name


def test_the_part_of_the_odds_equals_trl_for_pairs_of_any_length(twins: Any) -> None:
    pairs = twins.pairs(6, seed=2)
    ours = orpo(twins.ours, twins.batch(pairs), beta=0.7)
    chosen, rejected = ours.figures["chosen_logp"], ours.figures["rejected_logp"]
    ratio, chosen_reward, rejected_reward, _, _ = twins.trl_orpo(beta=0.7).odds_ratio_loss(chosen, rejected)
    torch.testing.assert_close(ours.nats_B, -chosen - ratio, rtol=1e-5, atol=0)
    torch.testing.assert_close(ours.figures["chosen_reward"], chosen_reward)
    torch.testing.assert_close(ours.figures["rejected_reward"], rejected_reward)


@given(MEANS, MEANS, st.integers(1, 30), st.integers(1, 30), st.floats(0.01, 3))
def test_the_loss_is_the_closed_form(chosen: float, rejected: float, long: int, short: int, beta: float) -> None:
    odds = [math.exp(mean) / (1 - math.exp(mean)) for mean in (chosen, rejected)]
    expected = -chosen - beta * math.log(1 / (1 + odds[1] / odds[0]))
    loss, log_odds = orpo_loss(means(chosen, rejected, (long, short)), beta)
    assert loss.item() == pytest.approx(expected, rel=1e-7, abs=1e-9)
    assert log_odds.item() == pytest.approx(math.log(odds[0] / odds[1]), rel=1e-7, abs=1e-9)


@given(MEANS, MEANS)
def test_swapping_the_sides_turns_the_odds_round(chosen: float, rejected: float) -> None:
    there, back = (orpo_loss(means(*sides), 0.1)[1].item() for sides in ((chosen, rejected), (rejected, chosen)))
    assert there == pytest.approx(-back, abs=1e-12)


@pytest.mark.parametrize("sides", [(0.0, -2.0), (-2.0, 0.0), (-1e-9, 0.0), (-900.0, -1.0)])
def test_certain_and_impossible_answers_give_finite_losses_and_gradients(sides: tuple[float, float]) -> None:
    logp_P2 = torch.tensor([sides], requires_grad=True)
    loss, log_odds = orpo_loss(Pairs(logp_P2, torch.ones(1, 2)), 0.1)
    loss.sum().backward()
    assert loss.isfinite().all() and log_odds.isfinite().all() and logp_P2.grad is not None and logp_P2.grad.isfinite().all()
