from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.generate.sampling import Sampling, choose

LOGITS = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.3]))


def drawn(sampling: Sampling, times: int = 2000) -> dict[int, float]:
    generator = torch.Generator().manual_seed(4)
    counts = Counter(choose(LOGITS, sampling, generator) for _ in range(times))
    return {token: count / times for token, count in counts.items()}


def test_temperature_zero_takes_the_most_likely_and_the_lowest_of_equals() -> None:
    assert choose(LOGITS, Sampling(temperature=0)) == 1
    assert choose(torch.tensor([0.0, 2.0, 2.0]), Sampling(temperature=0)) == 1


def test_draws_follow_the_probabilities() -> None:
    shares = drawn(Sampling())
    assert all(shares[token] == pytest.approx(LOGITS[token].exp().item(), abs=0.04) for token in range(4))


def test_a_low_temperature_sharpens() -> None:
    squared = LOGITS.exp() ** 2 / (LOGITS.exp() ** 2).sum()
    assert drawn(Sampling(temperature=0.5))[1] == pytest.approx(squared[1].item(), abs=0.04)


def test_top_k_keeps_the_k_most_likely_in_proportion() -> None:
    shares = drawn(Sampling(top_k=2))
    assert shares.keys() == {1, 3} and shares[1] == pytest.approx(4 / 7, abs=0.04)


@pytest.mark.parametrize(("top_p", "kept"), [(0.3, {1}), (0.5, {1, 3}), (0.85, {1, 3, 2}), (1.0, {0, 1, 2, 3})])
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p: float, kept: set[int]) -> None:
    assert drawn(Sampling(top_p=top_p)).keys() == kept


@given(st.integers(0, 2**31), st.integers(1, 9), st.floats(0.01, 1), st.floats(0.05, 5))
def test_what_is_drawn_is_among_the_k_most_likely(seed: int, top_k: int, top_p: float, temperature: float) -> None:
    logits_V = torch.randn(9, generator=torch.Generator().manual_seed(seed))
    chosen = choose(logits_V, Sampling(temperature, top_k, top_p), torch.Generator().manual_seed(seed))
    assert chosen in logits_V.topk(top_k).indices
    assert chosen == choose(logits_V, Sampling(temperature, top_k, top_p), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Sampling(**settings)  # type: ignore[arg-type]
