import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.generate.logprobs import scored, scored_prompt
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig


def test_the_log_probabilities_of_a_known_distribution() -> None:
    logits_V = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.3])) + 5
    token = scored(logits_V, 2, top=3)
    assert token.id == 2 and token.logprob == pytest.approx(math.log(0.2), abs=1e-6)
    assert [id_ for id_, _ in token.top] == [1, 3, 2]
    assert [math.exp(logprob) for _, logprob in token.top] == pytest.approx([0.4, 0.3, 0.2], abs=1e-6)
    assert scored(logits_V, 2).top == ()


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20), st.integers(1, 30))
def test_the_likeliest_come_in_order_and_the_lowest_of_equals_first(logits: list[int], top: int) -> None:
    token = scored(torch.tensor(logits, dtype=torch.float32), 0, top)
    expected = sorted(range(len(logits)), key=lambda id_: (-logits[id_], id_))[:top]
    assert [id_ for id_, _ in token.top] == expected


def test_a_long_prompt_is_scored_by_parts_as_token_by_token() -> None:
    model = Decoder(
        ModelConfig(
            vocab_tokens=61, context_tokens=160, layers=1, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="rmsnorm",
            norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.4,
        )
    )  # fmt: skip
    init_weights(model, 1)
    ids = [index * 7 % 61 for index in range(150)]
    with torch.no_grad():
        x_TD = model(torch.tensor([ids]))[0]
        found = scored_prompt(model, ids[1:], x_TD, top=2)
        expected = [scored(logits_V, id_, 2) for id_, logits_V in zip(ids[1:], model.logits(x_TD), strict=False)]
    assert [token.id for token in found] == ids[1:]
    for one, other in zip(found, expected, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-5) and [i for i, _ in one.top] == [i for i, _ in other.top]
