from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.generate.decoding import generate
from pellucid.generate.sampling import Sampling, SeenTokens, distribution
from pellucid.generate.speculative import generate_speculative
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

LARGE = ModelConfig(
    vocab_tokens=7, context_tokens=20, layers=1, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False, init_std=0.4,
)  # fmt: skip
SMALL = ModelConfig(
    vocab_tokens=7, context_tokens=14, layers=1, hidden=16, heads=2, kv_heads=1, mlp_hidden=24, norm="rmsnorm",
    norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.4,
)  # fmt: skip


def made(config: ModelConfig, seed: int) -> Decoder:
    model = Decoder(config)
    init_weights(model, seed)
    return model.eval()


@pytest.fixture(scope="module")
def large() -> Decoder:
    return made(LARGE, 1)


@pytest.fixture(scope="module")
def small() -> Decoder:
    return made(SMALL, 2)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(0, 20), st.integers(1, 6),
    st.sampled_from([Sampling(0), Sampling(0, repetition_penalty=1.5, frequency_penalty=0.3), Sampling(0, logit_bias=((2, 1.0),))]),
    st.sets(st.integers(0, 6), max_size=1), st.booleans(),
)  # fmt: skip
def test_greedy_tokens_are_the_large_models_own(
    large: Decoder, small: Decoder, ids: list[int], count: int, draft_tokens: int, sampling: Sampling, stop: set[int], itself: bool
) -> None:
    plain = generate(large, ids, max_new_tokens=count, sampling=sampling, stop_ids=stop, top_logprobs=3)
    draft = large if itself else small
    fast = generate_speculative(
        large, draft, ids, max_new_tokens=count, draft_tokens=draft_tokens, sampling=sampling, stop_ids=stop, top_logprobs=3
    )
    assert list(fast) == list(plain)
    assert (fast.stop_reason, fast.stopped_by) == (plain.stop_reason, plain.stopped_by)
    assert [token.logprob for token in fast.scored] == pytest.approx([token.logprob for token in plain.scored], abs=1e-4)
    assert fast.accepted == fast.proposed if itself else fast.accepted <= fast.proposed


def probabilities(model: Decoder, ids: list[int], new: int, sampling: Sampling) -> dict[tuple[int, ...], float]:
    """The chance of each sequence of `new` tokens, by the model alone."""
    chances: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(new):
        longer = {}
        for tokens, chance in chances.items():
            with torch.no_grad():
                logits_V = model.logits(model(torch.tensor([[*ids, *tokens]])))[0, -1]
            for id_, p in enumerate(distribution(logits_V, sampling, SeenTokens(ids, tokens))):
                if p > 0:
                    longer[(*tokens, id_)] = chance * float(p)
        chances = longer
    return chances


def chi_square_excess(counts: Counter[tuple[int, ...]], chances: dict[tuple[int, ...], float], times: int) -> float:
    """How many standard deviations chi-square lies above what the chances lead to; rare sequences are counted together."""
    common = [key for key, chance in chances.items() if chance * times >= 8]
    expected = [chances[key] * times for key in common]
    observed = [counts[key] for key in common]
    expected.append(max(times - sum(expected), 0.5))
    observed.append(times - sum(observed))
    freedom = len(expected) - 1
    chi = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    return (chi - freedom) / (2 * freedom) ** 0.5


@pytest.mark.parametrize(
    ("prompt", "sampling"),
    [
        ([3], Sampling()),
        ([1, 5, 2, 2], Sampling(0.7, top_k=4)),
        ([6, 0], Sampling(1.5, top_p=0.8, repetition_penalty=1.4)),
        ([4, 4, 4], Sampling(presence_penalty=0.8, min_p=0.05, logit_bias=((4, 0.7),))),
    ],
)
def test_drawn_sequences_come_as_often_as_the_large_model_says(
    large: Decoder, small: Decoder, prompt: list[int], sampling: Sampling
) -> None:
    times, chances = 400, probabilities(large, prompt, 3, sampling)
    counts: Counter[tuple[int, ...]] = Counter()
    proposed = accepted = 0
    for seed in range(times):
        generation = generate_speculative(large, small, prompt, max_new_tokens=3, draft_tokens=2, sampling=sampling, seed=seed)
        counts[tuple(generation)] += 1
        proposed, accepted = proposed + generation.proposed, accepted + generation.accepted
    assert sum(counts[key] for key in chances) == times  # nothing that the large model cannot say
    assert 0.05 < accepted / proposed < 0.99  # both ways were taken
    assert chi_square_excess(counts, chances, times) < 4
    # The same test tells the small model's distribution from the large one's.
    assert chi_square_excess(counts, probabilities(small, prompt, 3, sampling), times) > 20


def test_equal_arguments_give_equal_tokens_and_a_draft_like_the_model_is_always_kept(large: Decoder, small: Decoder) -> None:
    one, same, other = (list(generate_speculative(large, small, [5], max_new_tokens=12, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    itself = generate_speculative(large, large, [5], max_new_tokens=12, draft_tokens=3, seed=1)
    # Its own three proposals and one more each round; reading several at once rounds otherwise, which may cost a proposal.
    assert len(list(itself)) == 12 and itself.proposed == 9 and itself.accepted >= 8


def test_the_large_model_goes_on_alone_beyond_the_small_ones_context(large: Decoder, small: Decoder) -> None:
    prompt = [index % 7 for index in range(15)]
    generation = generate_speculative(large, small, prompt, max_new_tokens=50, sampling=Sampling(0))
    assert list(generation) == list(generate(large, prompt, max_new_tokens=50, temperature=0))
    assert (generation.stop_reason, generation.proposed) == ("context", 0)


def test_another_vocabulary_and_no_proposals_are_named(large: Decoder) -> None:
    with pytest.raises(UsageError, match="vocab_tokens is 9, the large one's 7"):
        generate_speculative(large, made(SMALL.model_copy(update={"vocab_tokens": 9}), 1), [1], max_new_tokens=1)
    with pytest.raises(UsageError, match="draft_tokens is 0"):
        generate_speculative(large, large, [1], max_new_tokens=1, draft_tokens=0)


def test_a_longer_prompt_only_changes_what_it_says(large: Decoder, small: Decoder) -> None:
    lengths = [len(list(generate_speculative(large, small, [2] * n, max_new_tokens=9, sampling=Sampling(0)))) for n in range(1, 20)]
    assert lengths == [min(9, 20 - n) for n in range(1, 20)]
    assert all(a >= b for a, b in pairwise(lengths)) and np.isfinite(lengths).all()
