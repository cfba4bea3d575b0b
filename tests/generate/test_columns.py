import pytest
import torch

from pellucid.generate.columns import ColumnsDecoder, filled_rows
from pellucid.generate.decoding import cache_for, generate, next_logits
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=61, context_tokens=80, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False, init_std=0.4,
)  # fmt: skip


LLAMA = CONFIG.model_copy(update={"norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": True})
SHAPES = {
    "stable-lm": CONFIG,
    "stable-lm-normed": CONFIG.model_copy(update={"qk_norm": True}),
    "llama": LLAMA,
    "qwen3": LLAMA.model_copy(update={"qk_norm": True}),
    "unturned": CONFIG.model_copy(update={"rotary_frac": 0.0}),
}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_the_layout_changes_nothing_that_is_said(config: ModelConfig, packed: bool) -> None:
    model = Decoder(config)
    init_weights(model, 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))), alpha=0.3)
    fast = ColumnsDecoder(model, packed=packed)
    assert fast.head_weight.stride() == (1, 61) and model.head_weight.is_contiguous()
    for count in (1, 2, 3, 63, 70):  # kinds of products by rows
        ids = [index * 7 % 61 for index in range(count)]
        logits_NV = next_logits(fast, ids, cache_for(fast, 80), last=count)
        assert torch.allclose(logits_NV, next_logits(model, ids, cache_for(model, 80), last=count), atol=1e-4)
    assert list(generate(fast, [3, 1, 4], max_new_tokens=20, seed=2)) == list(generate(model, [3, 1, 4], max_new_tokens=20, seed=2))


def test_it_is_not_trained_and_the_model_it_came_from_still_can_be() -> None:
    model = Decoder(CONFIG)
    init_weights(model, 1)
    fast = ColumnsDecoder(model.train())
    assert not fast.training and not any(parameter.requires_grad for parameter in fast.parameters())
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())


def test_whatever_is_read_few_numbers_of_rows_are_computed() -> None:
    filled = {rows: filled_rows(rows) for rows in range(1, 4097)}
    assert all(rows <= computed <= rows * 9 / 8 for rows, computed in filled.items())
    assert all(filled_rows(computed) == computed for computed in filled.values())
    assert len(set(filled.values())) == 16 + 8 * 8
