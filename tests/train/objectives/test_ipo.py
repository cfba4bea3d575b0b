from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.train.objectives.ipo import ipo, ipo_loss
from pellucid.train.objectives.preference import Pairs

LOGPS = st.floats(-60, 0)


@pytest.mark.parametrize("beta", [0.05, 0.3])
def test_loss_figures_and_every_gradient_equal_trl(twins: Any, beta: float) -> None:
    pairs, references = twins.pairs(5, seed=1), -30 * torch.rand(5, 2, generator=torch.Generator().manual_seed(2))
    theirs, logged = twins.trl_dpo(pairs, references, "ipo", beta)
    ours = ipo(twins.ours, twins.batch(pairs, references), beta=beta)
    assert ours.loss_sum.item() / 5 == pytest.approx(theirs.item(), rel=1e-5)
    twins.assert_same_gradients(ours, 5, theirs)
    assert ours.figures["margin"].mean().item() == pytest.approx(logged["rewards/margins"], rel=1e-5)
    assert ours.figures["chosen_logp"].mean().item() == pytest.approx(logged["logps/chosen"], rel=1e-5)


def test_the_loss_of_each_pair_by_itself_equals_trl(twins: Any) -> None:
    pairs, references = twins.pairs(3, seed=3), -30 * torch.rand(3, 2, generator=torch.Generator().manual_seed(4))
    ours = ipo(twins.ours, twins.batch(pairs, references), beta=0.3)
    for i, pair in enumerate(pairs):
        theirs, _ = twins.trl_dpo([pair], references[i : i + 1], "ipo", 0.3)
        assert ours.nats_B[i].item() == pytest.approx(theirs.item(), rel=1e-5)


@given(LOGPS, LOGPS, LOGPS, LOGPS, st.integers(1, 30), st.integers(1, 30), st.floats(0.01, 3))
def test_the_loss_is_the_closed_form(w: float, v: float, ref_w: float, ref_v: float, long: int, short: int, beta: float) -> None:
    pairs = Pairs(*(torch.tensor([row], dtype=torch.float64) for row in ([w, v], [long, short], [ref_w, ref_v])))
    expected = ((w - ref_w) / long - (v - ref_v) / short - 1 / (2 * beta)) ** 2
    assert ipo_loss(pairs, beta).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(LOGPS, st.floats(0.01, 3))
def test_the_margin_has_an_aim_beyond_which_the_loss_grows_again(rejected: float, beta: float) -> None:
    aim = rejected + 1 / (2 * beta)
    at, short_of, beyond = (
        ipo_loss(
            Pairs(torch.tensor([[aim + off, rejected]], dtype=torch.float64), torch.ones(1, 2), torch.zeros(1, 2)), beta
        ).item()
        for off in (0, -0.5, 0.5)
    )
    assert at == pytest.approx(0, abs=1e-18) and short_of == pytest.approx(0.25) and beyond == pytest.approx(0.25)
