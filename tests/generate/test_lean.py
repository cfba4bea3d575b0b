import pytest
import torch
import torch.nn.functional as F

from pellucid.generate.lean import lean_blocks, lean_norm
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=61, context_tokens=32, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.5, qkv_bias=True, tied_head=False, init_std=0.3,
)  # fmt: skip


@pytest.mark.parametrize("rotary_frac", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tokens", [1, 9])
def test_lean_blocks_return_what_the_models_own_do(rotary_frac: float, tokens: int) -> None:
    model = Decoder(CONFIG.model_copy(update={"rotary_frac": rotary_frac}))
    init_weights(model, 1)
    ids_BT = torch.arange(3 * tokens).view(3, tokens) % 61
    with torch.no_grad():
        expected_BTD = model(ids_BT)
        made: list[torch.Size] = []

        def product(weight_OI: torch.Tensor, bias_O: torch.Tensor | None):  # type: ignore[no-untyped-def]
            made.append(weight_OI.shape)
            return lambda x_BTI: F.linear(x_BTI, weight_OI, bias_O)

        model.blocks = lean_blocks(model, product)
        assert torch.allclose(model(ids_BT), expected_BTD, atol=1e-5)
    assert sorted(map(tuple, made)) == sorted(2 * [(64, 32), (32, 32), (96, 32), (32, 48)])


@pytest.mark.parametrize("eps", [None, 1e-6, 1e-2])
def test_the_lean_norm_is_rms_norm(eps: float | None) -> None:
    norm = torch.nn.RMSNorm(24, eps=eps)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(24, generator=generator))
    lean = lean_norm(norm)
    for scale in (0.0, 1e-4, 1.0, 1e4):
        x_BTD = scale * torch.randn(2, 5, 24, generator=generator)
        with torch.no_grad():
            torch.testing.assert_close(lean(x_BTD), norm(x_BTD), atol=1e-5, rtol=1e-5)
    assert lean.weight.data_ptr() != norm.weight.data_ptr()
    layer_norm = torch.nn.LayerNorm(24)
    assert torch.equal(lean_norm(layer_norm)(x_BTD), layer_norm(x_BTD))
