import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.kernels.slots import Piece, SlotCache
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=97, context_tokens=32, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="rmsnorm",
    norm_bias=False, rotary_frac=1.0, qkv_bias=True, tied_head=True, init_std=0.2,
)  # fmt: skip
NORMED = CONFIG.model_copy(update={"qk_norm": True})
STABLELM = CONFIG.model_copy(update={"norm": "layernorm", "norm_bias": True, "rotary_frac": 0.25, "kv_heads": 4})


def model_of(config: ModelConfig = CONFIG) -> Decoder:
    model = Decoder(config)
    init_weights(model, 2)
    return model.eval()


def ids_of(slots: int, tokens: int, seed: int) -> list[list[int]]:
    drawn: list[list[int]] = torch.randint(97, (slots, tokens), generator=torch.Generator().manual_seed(seed)).tolist()
    return drawn


def read(model: Decoder, cache: SlotCache, pieces: list[tuple[int, list[int]]]) -> list[torch.Tensor]:
    """The logits of each piece, (T, V)."""
    cache.begin([Piece(slot, len(ids)) for slot, ids in pieces])
    logits_NV = model.logits(model(torch.tensor([[id_ for _, ids in pieces for id_ in ids]]), cache=cache))[0]
    return list(torch.split(logits_NV, [len(ids) for _, ids in pieces]))


@settings(max_examples=60, deadline=None)
@given(
    config=st.sampled_from([CONFIG, NORMED, STABLELM]),
    # What each of five slots reads in each pass: often one token, as in decoding, sometimes nothing, sometimes more.
    passes=st.lists(st.tuples(*[st.sampled_from([0, 1, 1, 1, 2, 9])] * 5), min_size=1, max_size=7),
    backwards=st.booleans(),
    seed=st.integers(0, 99),
)
def test_each_sequence_reads_what_it_reads_alone_however_the_passes_are_cut(
    config: ModelConfig, passes: list[tuple[int, ...]], backwards: bool, seed: int
) -> None:
    model, cache, ids = model_of(config), SlotCache(config, 5), ids_of(5, 32, seed)
    found: list[list[torch.Tensor]] = [[] for _ in range(5)]
    with torch.no_grad():
        for counts in passes:
            pieces = [(slot, ids[slot][(held := cache.lengths[slot]) : held + n]) for slot, n in enumerate(counts)]
            pieces = [piece for piece in (reversed(pieces) if backwards else pieces) if piece[1]]
            if pieces:
                for (slot, _), logits_TV in zip(pieces, read(model, cache, pieces), strict=True):
                    found[slot].append(logits_TV)
        for slot, parts in enumerate(found):
            if parts:
                whole_TV = model.logits(model(torch.tensor([ids[slot][: cache.lengths[slot]]])))[0]
                torch.testing.assert_close(torch.cat(parts), whole_TV, atol=1e-4, rtol=1e-4)
    assert cache.lengths == [min(32, sum(counts[slot] for counts in passes)) for slot in range(5)]


def test_slots_of_like_length_are_read_in_one_call_and_a_long_one_by_itself() -> None:
    cache = SlotCache(CONFIG, 5)
    cache.lengths = [9, 10, 30, 9, 8]
    cache.begin([Piece(slot, 1) for slot in range(5)])
    assert [(run.slots.start, run.slots.stop, run.end) for run in cache._runs] == [(0, 2, 11), (2, 3, 31), (3, 5, 10)]
    cache.begin([Piece(0, 1), Piece(3, 1), Piece(4, 4)])
    assert [(run.slots.start, run.slots.stop, run.tokens.stop) for run in cache._runs] == [(0, 1, 1), (3, 4, 2), (4, 5, 6)]


def test_a_slot_goes_on_from_another_ones_beginning() -> None:
    model, cache, (first, second) = model_of(), SlotCache(CONFIG, 2), ids_of(2, 12, 3)
    with torch.no_grad():
        read(model, cache, [(0, first), (1, second)])
        cache.copy(0, 1, 7)
        assert cache.lengths == [12, 7]
        (found_TV,) = read(model, cache, [(1, second[:4])])
        expected_TV = model.logits(model(torch.tensor([first[:7] + second[:4]])))[0, 7:]
        torch.testing.assert_close(found_TV, expected_TV, atol=1e-5, rtol=1e-5)
        cache.copy(0, 0, 5)
        (again_TV,) = read(model, cache, [(0, second[:2])])
        torch.testing.assert_close(
            again_TV, model.logits(model(torch.tensor([first[:5] + second[:2]])))[0, 5:], atol=1e-5, rtol=1e-5
        )


def test_no_numbers_in_a_slot_reach_neither_its_neighbours_nor_who_comes_after_it_is_cleared() -> None:
    model, cache, ids = model_of(), SlotCache(CONFIG, 3), ids_of(3, 12, 4)
    with torch.no_grad():
        read(model, cache, list(enumerate(ids)))
        cache._k_LSKTC[:, 1, :, :12] = float("nan")
        cache._v_LSKTC[:, 1, :, :12] = float("nan")
        left, broken, right = read(model, cache, [(slot, [5]) for slot in range(3)])
        assert len(cache._runs) == 1 and broken.isnan().all()
        for slot, found_TV in ((0, left), (2, right)):
            torch.testing.assert_close(
                found_TV[0], model.logits(model(torch.tensor([[*ids[slot], 5]])))[0, -1], atol=1e-4, rtol=1e-4
            )
        cache.clear(1)
        read(model, cache, [(1, ids[1][:11])])
        _, mended = read(model, cache, [(0, [5]), (1, [5])])
        assert len(cache._runs) == 1
        torch.testing.assert_close(mended[0], model.logits(model(torch.tensor([[*ids[1][:11], 5]])))[0, -1], atol=1e-4, rtol=1e-4)


def test_a_full_slot_refuses_more_and_nothing_is_begun() -> None:
    model, cache = model_of(), SlotCache(CONFIG, 2, max_tokens=4)
    with torch.no_grad():
        read(model, cache, [(0, [1, 2, 3]), (1, [4])])
        with pytest.raises(UsageError, match="slot 0 holds 3 of 4 positions; 2 more"):
            read(model, cache, [(1, [5]), (0, [6, 7])])
    assert cache.lengths == [3, 1]
    assert SlotCache(CONFIG, 1, max_tokens=64).max_tokens == 32
