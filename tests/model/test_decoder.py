import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.kernels.attention import Documents
from pellucid.model.cache import KVCache
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe import model as recipe_model
from pellucid.recipe.model import ModelConfig

PRESETS = {
    path.stem: ModelConfig(**yaml.safe_load(path.read_text()))
    for path in sorted((Path(recipe_model.__file__).parent / "presets").glob("*.yaml"))
}


def small(**changes: object) -> ModelConfig:
    shape = {
        "vocab_tokens": 97,
        "context_tokens": 48,
        "layers": 2,
        "hidden": 32,
        "heads": 4,
        "kv_heads": 2,
        "mlp_hidden": 48,
        "norm": "layernorm",
        "norm_bias": True,
        "rotary_frac": 0.5,
        "qkv_bias": True,
        "tied_head": False,
    }
    return ModelConfig(**{**shape, **changes})


def built(config: ModelConfig, seed: int = 3) -> Decoder:
    """A model whose biases and norms are random too, so that no term can hide."""
    model = Decoder(config)
    init_weights(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def documents(*rows: list[int]) -> Documents:
    """Documents of these lengths in each sequence."""
    number_BT = [torch.cat([torch.full((length,), i, dtype=torch.int32) for i, length in enumerate(lengths)]) for lengths in rows]
    return Documents.of(torch.stack(number_BT))


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("stable-lm-2-1.6b", 1_644_515_328), ("tinyllama-1.1b", 1_100_048_384), ("smollm2-135m", 134_515_008)],
)
def test_presets_have_the_published_number_of_parameters(preset: str, parameters: int) -> None:
    with torch.device("meta"):
        model = Decoder(PRESETS[preset])
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_dropping_the_block_norms_biases_explains_the_printed_stable_lm_2_figure() -> None:
    config = PRESETS["stable-lm-2-1.6b"]
    assert 1_644_515_328 - config.layers * 2 * config.hidden == 1_644_417_024


def test_every_preset_builds_and_its_head_is_tied_when_it_says_so() -> None:
    for config in PRESETS.values():
        with torch.device("meta"):
            model = Decoder(config)
        assert (model.head_weight is model.embedding.weight) == config.tied_head
        assert model.head_weight.shape == (config.vocab_tokens, config.hidden)


def test_weights_are_a_pure_function_of_the_seed_and_do_not_touch_the_global_one() -> None:
    before = torch.random.get_rng_state()
    models = [Decoder(small()) for _ in range(3)]
    torch.random.set_rng_state(before)
    for model, seed in zip(models, (1, 1, 2), strict=True):
        init_weights(model, seed)
    assert torch.equal(torch.random.get_rng_state(), before)
    one, same, other = (model.state_dict() for model in models)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embedding.weight"], other["embedding.weight"])


def test_initial_weights_have_the_published_spread() -> None:
    config = small(hidden=128, mlp_hidden=256, layers=8, vocab_tokens=512)
    model = Decoder(config)
    init_weights(model, 0)
    state = model.state_dict()
    assert state["blocks.0.mlp.gate.weight"].std().item() == pytest.approx(0.02, rel=0.03)
    for name in ("attention.output", "mlp.down"):
        assert state[f"blocks.7.{name}.weight"].std().item() == pytest.approx(0.02 / math.sqrt(16), rel=0.03)
    assert torch.all(state["blocks.3.mlp_norm.weight"] == 1) and torch.all(state["blocks.3.attention.query.bias"] == 0)


def test_a_model_made_without_memory_becomes_the_same_model() -> None:
    with torch.device("meta"):
        hollow = Decoder(small())
    model, ids_BT = Decoder(small()), torch.arange(20)[None]
    hollow.to_empty(device="cpu")
    for each in (hollow, model):
        init_weights(each, 5)
    assert torch.equal(hollow(ids_BT), model(ids_BT))


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4), norm=st.sampled_from(["layernorm", "rmsnorm"]))
def test_attention_inside_documents_equals_running_each_document_alone(lengths: list[int], norm: str) -> None:
    config = small(norm=norm, norm_bias=norm == "layernorm")
    model = built(config)
    ids_T = torch.randint(config.vocab_tokens, (sum(lengths),), generator=torch.Generator().manual_seed(len(lengths)))
    with torch.no_grad():
        together = model(ids_T[None], documents=documents(lengths))[0]
        alone = torch.cat([model(part[None])[0] for part in ids_T.split(lengths)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5), languages=st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_attention_across_languages_equals_a_dense_mask_in_values_and_gradients(lengths: list[int], languages: list[int]) -> None:
    model, tokens = built(small()), sum(lengths)
    ids_BT = torch.randint(97, (1, tokens), generator=torch.Generator().manual_seed(tokens))
    number_BT = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))[None]
    language_BT = torch.tensor(languages)[number_BT]
    same, alike = (t[0][:, None] == t[0][None, :] for t in (number_BT, language_BT))
    dense = (same | ~alike).tril()[None, None]
    found = model.logits(model(ids_BT, documents=Documents.of(number_BT, language_BT=language_BT)))
    parameters = list(model.parameters())
    direction = torch.randn(found.shape, generator=torch.Generator().manual_seed(8))
    found_grads = torch.autograd.grad(found, parameters, direction)
    with pytest.MonkeyPatch.context() as patch:
        # Plain torch with the mask written out, positions as they stand.
        patch.setattr(
            "pellucid.model.decoder.attention",
            lambda q, k, v, *_: F.scaled_dot_product_attention(q, k, v, attn_mask=dense, enable_gqa=True),
        )
        wanted = model.logits(model(ids_BT))
        wanted_grads = torch.autograd.grad(wanted, parameters, direction)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    for one, other in zip(found_grads, wanted_grads, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("languages", "layers", "hear"),
    [
        # Neighbours of one language do not hear of each other, whatever the depth; the other language hears of both.
        ([0, 0, 1], 2, {0: [False, True], 1: [True]}),
        # With another language between them, what the first says reaches the third through the second, a layer deeper.
        ([0, 1, 0], 1, {0: [True, False], 1: [True]}),
        ([0, 1, 0], 2, {0: [True, True], 1: [True]}),
        ([0, 1, 2], 1, {0: [True, True], 1: [True]}),
        ([0, 0, 0], 2, {0: [False, False], 1: [False]}),
    ],
)
def test_a_document_hears_of_a_change_in_another_language_and_not_of_one_in_its_own(
    languages: list[int], layers: int, hear: dict[int, list[bool]]
) -> None:
    model = built(small(layers=layers))
    ids_BT = torch.randint(96, (1, 30), generator=torch.Generator().manual_seed(1))
    number_BT = torch.repeat_interleave(torch.arange(3), 10)[None]
    documents = Documents.of(number_BT, language_BT=torch.tensor(languages)[number_BT])
    with torch.no_grad():
        before = model.logits(model(ids_BT, documents=documents))[0]
        for document, heard in hear.items():
            changed = ids_BT.clone()
            changed[0, document * 10 + 3] += 1
            after = model.logits(model(changed, documents=documents))[0]
            assert torch.equal(after[: document * 10 + 3], before[: document * 10 + 3])
            for other, hears in enumerate(heard, start=document + 1):
                part = slice(other * 10, other * 10 + 10)
                assert torch.equal(after[part], before[part]) is not hears, (document, other)


def test_documents_of_one_batch_do_not_share_their_borders() -> None:
    model = built(small())
    ids_BT = torch.randint(97, (2, 30), generator=torch.Generator().manual_seed(1))
    lengths = [[11, 19], [25, 5]]
    with torch.no_grad():
        together = model(ids_BT, documents=documents(*lengths))
        for row in range(2):
            alone = model(ids_BT[row : row + 1], documents=documents(lengths[row]))[0]
            torch.testing.assert_close(together[row], alone)


def test_given_positions_are_used_and_the_default_counts_from_zero() -> None:
    model, ids_BT = built(small()), torch.arange(10)[None]
    with torch.no_grad():
        assert torch.equal(model(ids_BT), model(ids_BT, positions_BT=torch.arange(10)[None]))
        spread = model(ids_BT, positions_BT=3 * torch.arange(10)[None])
        shifted = model(ids_BT, positions_BT=7 + torch.arange(10)[None])
    assert not torch.allclose(spread, model(ids_BT), atol=1e-3)
    torch.testing.assert_close(shifted, model(ids_BT), atol=1e-4, rtol=1e-4)  # rotary positions are relative


def test_a_position_sees_nothing_that_comes_after_it() -> None:
    model = built(small())
    ids_BT = torch.arange(20)[None].clone()
    with torch.no_grad():
        before = model(ids_BT)
        ids_BT[0, 12:] += 1
        after = model(ids_BT)
    assert torch.equal(before[0, :12], after[0, :12])
    assert not torch.allclose(before[0, 12], after[0, 12])


def test_a_sequence_longer_than_the_context_is_refused_with_both_figures() -> None:
    model = Decoder(small())
    with pytest.raises(UsageError, match=r"49 tokens.*context_tokens is 48"):
        model(torch.zeros(1, 49, dtype=torch.long))


def test_documents_and_a_cache_are_refused_together() -> None:
    config = small()
    with pytest.raises(UsageError, match="documents cannot be combined with a cache"):
        Decoder(config)(torch.zeros(1, 4, dtype=torch.long), documents=documents([1, 3]), cache=KVCache(config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": 34}, "hidden 34 is not a multiple of heads 4"),
        ({"kv_heads": 3}, "heads 4 is not a multiple of kv_heads 3"),
        ({"rotary_frac": 0.4}, "rotates 3 of 8 channels; must be even"),
        ({"norm": "rmsnorm"}, "an rmsnorm has no bias"),
    ],
)
def test_a_shape_that_does_not_fit_together_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Decoder(small(**changes))


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_with_qk_norm_queries_and_keys_may_grow_and_attention_stays(norm: str) -> None:
    model, ids_BT = Decoder(small(norm=norm, norm_bias=False, qkv_bias=False, qk_norm=True)), torch.arange(30)[None]
    init_weights(model, 0)
    with torch.no_grad():
        before = model(ids_BT)
        for block in model.blocks:
            for part in (block.attention.query, block.attention.key):
                part.weight *= 1e3
        torch.testing.assert_close(model(ids_BT), before, atol=1e-2, rtol=0)  # but for norm_eps it would be equal
        for block in model.blocks:
            block.attention.query_norm.weight *= 1e3
        assert not torch.allclose(model(ids_BT), before, atol=0.1)


def test_a_model_without_rotary_channels_runs() -> None:
    with torch.no_grad():
        assert built(small(rotary_frac=0.0))(torch.arange(9)[None]).isfinite().all()


@pytest.mark.parametrize("additive", [False, True])
def test_a_row_may_hold_two_sequences_that_begin_alike(additive: bool) -> None:
    model = built(small())
    # 1 2 3 then either 4 5 or 6: as a tree, with 6 at the place of 4.
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    mask[5, 3:5] = False
    given = torch.zeros(6, 6).masked_fill(~mask, -torch.inf) if additive else mask
    with torch.no_grad():
        row = model.eval()(torch.tensor([[1, 2, 3, 4, 5, 6]]), torch.tensor([[0, 1, 2, 3, 4, 3]]), mask_B1TS=given[None, None])[0]
        one, other = model(torch.tensor([[1, 2, 3, 4, 5]]))[0], model(torch.tensor([[1, 2, 3, 6]]))[0]
    torch.testing.assert_close(row[:5], one, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(row[5], other[3], atol=1e-5, rtol=1e-5)
