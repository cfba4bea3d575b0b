from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.generate.sampling import Sampling, choose, choose_batch

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


def plainly(logits_V: torch.Tensor, sampling: Sampling, point: float) -> int:
    """The definition, with everything sorted: the token at `point` of the kept tokens' probability."""
    p_V, ids_V = torch.sort(torch.softmax(logits_V.float() / sampling.temperature, 0), descending=True, stable=True)
    p_V = p_V.double()[: sampling.top_k]
    if sampling.top_p < 1:
        p_V = p_V[p_V.cumsum(0) - p_V < sampling.top_p * p_V.sum()]
    place = int((p_V.cumsum(0) <= point * p_V.sum()).sum())
    return int(ids_V[min(place, len(p_V) - 1)])


@given(
    st.integers(0, 2**31), st.sampled_from([3, 127, 128, 129, 700]), st.sampled_from([None, 1, 5, 128, 400, 1000]),
    st.sampled_from([0.05, 0.5, 0.95, 1.0]), st.sampled_from([0.05, 1.0, 8.0]), st.sampled_from([0.0, 0.5, 100.0]),
)  # fmt: skip
def test_a_batch_is_drawn_as_its_rows_are_and_as_the_definition_says(
    seed: int, vocab: int, top_k: int | None, top_p: float, temperature: float, grain: float
) -> None:
    logits_BV = torch.randn(4, vocab, generator=torch.Generator().manual_seed(seed))
    if grain:  # many equal ones
        logits_BV = (logits_BV / grain).round() * grain
    sampling = Sampling(temperature, top_k, top_p)
    chosen = choose_batch(logits_BV, sampling, [torch.Generator().manual_seed(seed + row) for row in range(4)])
    assert chosen == [choose(logits_BV[row], sampling, torch.Generator().manual_seed(seed + row)) for row in range(4)]
    points = [torch.rand(1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + row)).item() for row in range(4)]
    assert chosen == [plainly(logits_BV[row], sampling, points[row]) for row in range(4)]


def test_a_generator_gives_one_number_for_each_token_whatever_is_kept() -> None:
    logits_V = torch.randn(500, generator=torch.Generator().manual_seed(1))
    after = set()
    for sampling in (Sampling(), Sampling(top_k=3), Sampling(5.0, top_p=0.999)):
        generator = torch.Generator().manual_seed(7)
        choose(logits_V, sampling, generator)
        after.add(torch.rand(1, generator=generator).item())
    assert len(after) == 1


def test_tokens_without_any_probability_are_never_drawn() -> None:
    logits_V = torch.full((600,), float("-inf"))
    logits_V[[37, 599]] = 0.0
    assert {choose(logits_V, Sampling(), torch.Generator().manual_seed(seed)) for seed in range(40)} == {37, 599}


def test_logits_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(ArtifactError, match="NaN"):
        choose(torch.tensor([0.0, float("nan")]), Sampling(), torch.Generator().manual_seed(1))
