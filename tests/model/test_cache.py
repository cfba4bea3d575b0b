import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.model.cache import KVCache
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=97, context_tokens=32, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="rmsnorm",
    norm_bias=False, rotary_frac=1.0, qkv_bias=True, tied_head=True, init_std=0.2,
)  # fmt: skip


NORMED = CONFIG.model_copy(update={"qk_norm": True})
NORMED_BY_HEADS = NORMED.model_copy(update={"norm": "layernorm"})


def model_of(config: ModelConfig = CONFIG) -> Decoder:
    model = Decoder(config)
    init_weights(model, 2)
    return model.eval()


@settings(max_examples=45, deadline=None)
@given(
    config=st.sampled_from([CONFIG, NORMED, NORMED_BY_HEADS]),
    chunks=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_logits_with_a_cache_equal_logits_without_however_the_text_is_cut(
    config: ModelConfig, chunks: list[int], seed: int
) -> None:
    model, ids_BT = model_of(config), torch.randint(97, (2, min(32, sum(chunks))), generator=torch.Generator().manual_seed(seed))
    cache, parts, start = KVCache(CONFIG, batch_seqs=2), [], 0
    with torch.no_grad():
        for chunk in chunks:
            part_BT = ids_BT[:, start : start + chunk]
            if part_BT.shape[1]:
                parts.append(model.logits(model(part_BT, cache=cache)))
            start += chunk
        whole = model.logits(model(ids_BT))
    assert cache.length == ids_BT.shape[1]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)


def test_a_full_cache_refuses_more_and_keeps_what_it_holds() -> None:
    model, cache = model_of(), KVCache(CONFIG, max_tokens=4)
    with torch.no_grad():
        model(torch.arange(3)[None], cache=cache)
        with pytest.raises(UsageError, match="holds 3 of 4 positions; 2 more"):
            model(torch.arange(2)[None], cache=cache)
    assert cache.length == 3


def test_a_sequence_past_the_context_is_refused_with_a_cache_too() -> None:
    model, cache = model_of(), KVCache(CONFIG, max_tokens=64)
    with torch.no_grad():
        model(torch.zeros(1, 32, dtype=torch.long), cache=cache)
        with pytest.raises(UsageError, match="context_tokens is 32"):
            model(torch.zeros(1, 1, dtype=torch.long), cache=cache)


def test_sequences_that_are_kept_go_on_as_they_were() -> None:
    model = Decoder(CONFIG)
    init_weights(model, 1)
    ids_BT = torch.randint(0, CONFIG.vocab_tokens, (4, 6), generator=torch.Generator().manual_seed(2))
    cache = KVCache(CONFIG, 4)
    with torch.no_grad():
        model(ids_BT[:, :4], cache=cache)
        cache.keep(torch.tensor([3, 1]))
        after = model(ids_BT[[3, 1], 4:], cache=cache)
        torch.testing.assert_close(after, model(ids_BT[[3, 1]])[:, 4:])


def test_sequences_branch_from_one_that_is_held() -> None:
    model = model_of()
    stem = torch.arange(7)[None]
    ends = torch.tensor([[20, 21, 22], [30, 31, 32], [20, 31, 22]])
    cache = KVCache(CONFIG, 1, 7)
    with torch.no_grad():
        model(stem, cache=cache)
        found = model(ends, cache=cache.branch(3, 3))
        again = model(ends[:1, :2], cache=cache.branch(1, 2))
        whole = model(torch.cat([stem.expand(3, -1), ends], dim=1))[:, 7:]
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again, whole[:1, :2], atol=1e-5, rtol=1e-5)
    assert cache.length == 7 and cache.branch(2, 5).max_tokens == 12
