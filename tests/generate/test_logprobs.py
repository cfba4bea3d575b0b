import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.generate.logprobs import scored


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
