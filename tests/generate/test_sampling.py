import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.generate.sampling import Sampling, SeenTokens, choose, choose_batch, distribution

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
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"min_p": -0.1}, "min_p is -0.1"),
        ({"min_p": 1.1}, "min_p is 1.1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty is nan"),
        ({"presence_penalty": float("inf")}, "presence_penalty is inf"),
        ({"frequency_penalty": float("nan")}, "frequency_penalty is nan"),
        ({"logit_bias": ((-1, 1.0),)}, "1.0 for id -1"),
        ({"logit_bias": ((3, float("inf")),)}, "inf for id 3"),
        ({"logit_bias": ((3, float("nan")),)}, "nan for id 3"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Sampling(**settings)  # type: ignore[arg-type]


def plainly(logits_V: torch.Tensor, sampling: Sampling, point: float) -> int:
    """The definition, with everything sorted: the token at `point` of the kept tokens' probability."""
    p_V, ids_V = torch.sort(torch.softmax(logits_V.float() / sampling.temperature, 0), descending=True, stable=True)
    p_V, whole = p_V.double(), 1.0
    if sampling.top_k is not None and sampling.top_k < len(p_V):
        p_V = p_V[: sampling.top_k]
        whole = float(p_V.cumsum(0)[-1])
    if sampling.top_p < 1:
        before_V = torch.cat([torch.zeros(1), p_V.cumsum(0)[:-1]])
        p_V = p_V[before_V < sampling.top_p * whole]
    place = int((p_V.cumsum(0) <= point * p_V.cumsum(0)[-1]).sum())
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
    with pytest.raises(ArtifactError, match="NaN"):
        choose(torch.tensor([0.0, float("nan")]), Sampling(0))
    with pytest.raises(ArtifactError, match="NaN"):
        distribution(torch.full((3,), float("-inf")), Sampling())


def shares_of(logits_V: torch.Tensor, sampling: Sampling, seen: SeenTokens | None = None) -> list[float]:
    """What `choose` does at 4 000 points that lie evenly between 0 and 1, by ids."""
    points = [(i + 0.5) / 4000 for i in range(4000)]
    counts: Counter[int] = Counter()
    for point in points:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "rand", lambda *size, point=point, **more: torch.tensor([point], dtype=torch.float64))
            counts[choose(logits_V, sampling, seen=seen)] += 1
    return [counts[id_] / len(points) for id_ in range(len(logits_V))]


settings_of = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 4, 30]),
    top_p=st.sampled_from([0.2, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.8]),
    presence_penalty=st.sampled_from([0.0, 0.7, -0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.4, -0.2]),
    logit_bias=st.sampled_from([(), ((2, 3.0), (5, float("-inf")))]),
)


def after_transformers(logits_V: torch.Tensor, sampling: Sampling, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """The probabilities by transformers' own processors, with the penalties that it does not have as a formula between them."""
    processors = pytest.importorskip("transformers.generation.logits_process")
    ids_1N, scores_1V = torch.tensor([[*prompt, *answer]]), logits_V[None].clone()
    for id_, bias in sampling.logit_bias:
        scores_1V[0, id_] += bias
    scores_1V = processors.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)(ids_1N, scores_1V)
    times_V = torch.bincount(torch.tensor(answer, dtype=torch.long), minlength=len(logits_V))
    scores_1V = scores_1V - sampling.frequency_penalty * times_V - sampling.presence_penalty * (times_V > 0)
    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(scores_1V[0].argmax(), len(logits_V)).double()
    scores_1V = processors.TemperatureLogitsWarper(sampling.temperature)(ids_1N, scores_1V)
    if sampling.top_k is not None:
        scores_1V = processors.TopKLogitsWarper(sampling.top_k)(ids_1N, scores_1V)
    if sampling.top_p < 1:
        scores_1V = processors.TopPLogitsWarper(sampling.top_p)(ids_1N, scores_1V)
    if sampling.min_p > 0:
        scores_1V = processors.MinPLogitsWarper(sampling.min_p)(ids_1N, scores_1V)
    return torch.softmax(scores_1V[0].double(), dim=0)


@given(st.integers(0, 2**31), settings_of, st.lists(st.integers(0, 39), min_size=1), st.lists(st.integers(0, 39)))
def test_the_distribution_is_that_of_transformers_own_processors(
    seed: int, sampling: Sampling, prompt: list[int], answer: list[int]
) -> None:
    logits_V = 3 * torch.randn(40, generator=torch.Generator().manual_seed(seed))
    found_V = distribution(logits_V, sampling, SeenTokens(prompt, answer))
    assert found_V == pytest.approx(after_transformers(logits_V, sampling, prompt, answer).numpy(), abs=1e-5)
    seen = SeenTokens(prompt)
    for id_ in answer:
        seen.add(id_)
    assert (distribution(logits_V, sampling, seen) == found_V).all()


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(), Sampling(0), Sampling(0.6, top_k=3), Sampling(1.4, top_p=0.7), Sampling(min_p=0.3),
        Sampling(repetition_penalty=1.7, presence_penalty=0.5, frequency_penalty=0.5, logit_bias=((6, 2.0),), top_p=0.9),
    ],
)  # fmt: skip
def test_tokens_are_chosen_with_the_probabilities_that_the_distribution_says(sampling: Sampling) -> None:
    logits_V = torch.randn(9, generator=torch.Generator().manual_seed(3)).round(decimals=0)  # with equal ones
    seen = SeenTokens([0, 1], [2, 2, 3])
    assert shares_of(logits_V, sampling, seen) == pytest.approx(distribution(logits_V, sampling, seen).tolist(), abs=6e-4)


def test_penalties_are_the_published_formulas() -> None:
    logits_V, seen = torch.tensor([2.0, -2.0, 2.0, 1.0]), SeenTokens([0, 1], [2, 2])
    for sampling, expected in (
        (Sampling(repetition_penalty=2.0), [1.0, -4.0, 1.0, 1.0]),  # of the prompt and of the answer
        (Sampling(presence_penalty=0.5), [2.0, -2.0, 1.5, 1.0]),  # of the answer alone
        (Sampling(frequency_penalty=0.5), [2.0, -2.0, 1.0, 1.0]),
        (Sampling(logit_bias=((3, 0.25), (0, float("-inf")))), [float("-inf"), -2.0, 2.0, 1.25]),
    ):
        expected_V = torch.softmax(torch.tensor(expected), 0).tolist()
        assert distribution(logits_V, sampling, seen) == pytest.approx(expected_V, abs=1e-6)
    assert logits_V.tolist() == [2.0, -2.0, 2.0, 1.0]


def test_a_penalty_without_the_tokens_it_looks_at_and_a_bias_outside_the_vocabulary_are_named() -> None:
    with pytest.raises(UsageError, match="seen"):
        choose(LOGITS, Sampling(presence_penalty=1.0))
    with pytest.raises(UsageError, match="id 4; the model's vocabulary is 0 to 3"):
        choose(LOGITS, Sampling(logit_bias=((4, 1.0),)))


@given(st.integers(0, 2**31), st.lists(settings_of, min_size=1, max_size=5))
def test_rows_with_settings_of_their_own_are_drawn_as_alone(seed: int, samplings: list[Sampling]) -> None:
    logits_BV = torch.randn(len(samplings), 40, generator=torch.Generator().manual_seed(seed))
    seen = [SeenTokens([row], [row + 1, 7]) for row in range(len(samplings))]
    together = choose_batch(
        logits_BV, samplings, [torch.Generator().manual_seed(seed + row) for row in range(len(samplings))], seen
    )
    alone = [
        choose(logits_BV[row], sampling, torch.Generator().manual_seed(seed + row), seen[row])
        for row, sampling in enumerate(samplings)
    ]
    assert together == alone


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-101, 1e-44, 1e-30, 1e-6])
def test_a_temperature_of_next_to_nothing_chooses_the_likeliest(temperature: float) -> None:
    logits_BV = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)) * 20
    generators = [torch.Generator().manual_seed(row) for row in range(3)]
    expected = logits_BV.argmax(dim=1).tolist()
    assert choose_batch(logits_BV, Sampling(temperature=temperature), generators) == expected
    mixed = [Sampling(temperature=temperature), Sampling(temperature=1.0), Sampling(temperature=0.0)]
    found = choose_batch(logits_BV, mixed, generators)
    assert (found[0], found[2]) == (expected[0], expected[2])
    assert distribution(logits_BV[0], mixed[0]).tolist() == torch.nn.functional.one_hot(logits_BV[0].argmax(), 50).tolist()


@pytest.mark.parametrize("penalty", [1e-300, 1e300])
def test_a_penalty_without_measure_leaves_numbers(penalty: float) -> None:
    logits_V = torch.randn(50, generator=torch.Generator().manual_seed(2))
    seen = SeenTokens(prompt=[1, 2, 3])
    assert distribution(logits_V, Sampling(repetition_penalty=penalty), seen).sum() == pytest.approx(1.0)


def test_a_bias_for_every_token_is_added_at_once_and_bit_for_bit_as_one_by_one() -> None:
    generator = torch.Generator().manual_seed(3)
    logits_V = torch.randn(50_000, generator=generator) * 10
    values = (torch.rand(50_000, dtype=torch.float64, generator=generator) * 200 - 100).tolist()
    bias = (*enumerate(values), (7, -math.inf), (8, 0.1), (8, 0.2))
    expected_V = logits_V.clone()
    for id_, value in bias:
        expected_V[id_] += value
    sampling, found_V = Sampling(logit_bias=bias), logits_V.clone()
    sampling.add_biases(found_V)
    assert torch.equal(found_V, expected_V)
    # A token costs one call, and no walk over the biases.
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        choose(logits_V, sampling, torch.Generator().manual_seed(1))
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts["aten::index_add_"] == 1 and sum(counts.values()) < 200
    with pytest.raises(UsageError, match="id 50000"):
        Sampling(logit_bias=((50_000, 1.0),)).add_biases(found_V)
