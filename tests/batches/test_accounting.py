import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.batches.accounting import account_for


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(1, 5000), st.integers(0, 10**12))
@settings(deadline=None)
def test_every_token_of_a_source_is_seen_unseen_in_the_tail_or_the_first(
    sequences: int, more: int, seq_tokens: int, extra: int
) -> None:
    use = account_for(
        sequences=sequences,
        total_seqs=sequences + more,
        share=0.5,
        quota=8192,
        seq_tokens=seq_tokens,
        available_tokens=seq_tokens + 1 + extra,
        masked_tokens=3,
    )
    assert use["available_tokens"] == use["seen_tokens"] + use["unseen_tokens"] + use["tail_tokens"] + 1
    assert 0 <= use["tail_tokens"] < seq_tokens
    assert use["tokens"] >= use["seen_tokens"]
    assert use["epochs"] * use["windows_per_epoch"] * seq_tokens == pytest.approx(use["tokens"])
    assert 0 <= use["realised_share"] <= 1
    assert use["masked_tokens_per_epoch"] == 3


def test_before_the_first_sequence_nothing_is_used() -> None:
    use = account_for(sequences=0, total_seqs=0, share=1.0, quota=16384, seq_tokens=4, available_tokens=11, masked_tokens=0)
    assert (use["tokens"], use["epochs"], use["realised_share"]) == (0, 0.0, 0.0)
    assert (use["unseen_tokens"], use["tail_tokens"], use["windows_per_epoch"]) == (8, 2, 2)
