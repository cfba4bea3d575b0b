import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pellucid.core.errors import CannotDoError
from pellucid.generate import int8
from pellucid.generate.batched import generate_batch
from pellucid.generate.decoding import cache_for, generate, next_logits
from pellucid.generate.int8 import Int8Decoder, Int8Product
from pellucid.generate.sampling import Sampling
from pellucid.model.decoder import Block, Decoder, init_weights
from pellucid.recipe.model import ModelConfig

STABLE_LM = ModelConfig(
    vocab_tokens=61, context_tokens=40, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False, init_std=0.2,
)  # fmt: skip
LLAMA = STABLE_LM.model_copy(
    update={"norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": True, "qk_norm": True}
)


def made(config: ModelConfig) -> Decoder:
    model = Decoder(config)
    init_weights(model, 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(len(name)))
    return model.eval()


def rounded(model: Decoder) -> Decoder:
    """The same model in float32 with each matrix of the blocks rounded as the format says: 127 steps to a row's largest weight."""
    plain = made(model.config)
    plain.load_state_dict(model.state_dict())
    for block in plain.blocks:
        for module in block.modules():
            if isinstance(module, nn.Linear):
                with torch.no_grad():
                    step_O1 = module.weight.abs().amax(1, keepdim=True) / 127
                    module.weight.copy_((module.weight / step_O1).round() * step_O1)
    return plain


def rounded_head(model: Decoder) -> torch.Tensor:
    step_V1 = model.head_weight.detach().abs().amax(1, keepdim=True) / 127
    return (model.head_weight.detach() / step_V1).round() * step_V1


@pytest.mark.parametrize("config", [STABLE_LM, LLAMA], ids=["stable-lm", "llama"])
def test_only_the_weights_rounding_changes_the_logits(config: ModelConfig) -> None:
    model = made(config)
    fast, plain = Int8Decoder(model), rounded(model)
    ids = [index * 7 % 61 for index in range(40)]
    with torch.no_grad():
        expected_TV = plain(torch.tensor([ids]))[0] @ rounded_head(model).T
        found_TV = fast.logits(fast(torch.tensor([ids]))[0])
        exact_TV = model.logits(model(torch.tensor([ids])))[0]
    # The inputs' 15 bits are not seen beside the weights' 8.
    error, rounding = (found_TV - expected_TV).abs().max(), (expected_TV - exact_TV).abs().max()
    assert error < rounding / 20 and 0 < rounding < 0.1 * exact_TV.abs().max()


@settings(max_examples=10)
@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=20), min_size=2, max_size=5))
def test_rows_of_a_batch_do_not_touch_each_other(prompts: list[list[int]]) -> None:
    fast = FAST
    batch = generate_batch(fast, prompts, max_new_tokens=6, sampling=Sampling(), seeds=list(range(len(prompts))))
    alone = [list(generate(fast, prompt, max_new_tokens=6, seed=row)) for row, prompt in enumerate(prompts)]
    assert [one.ids for one in batch] == alone


FAST = Int8Decoder(made(STABLE_LM))


def test_a_row_of_zeros_and_inputs_of_zeros_are_no_numbers_to_divide_by() -> None:
    model = made(LLAMA)
    with torch.no_grad():
        model.embedding.weight[5] = 0.0
        block = model.blocks[0]
        assert isinstance(block, Block)
        block.mlp.up.weight[3] = 0.0
    fast = Int8Decoder(model)
    logits_V = next_logits(fast, [5, 5], cache_for(fast, 4))[0]
    assert torch.isfinite(logits_V).all() and logits_V[5] == 0


def test_numbers_that_are_none_stay_none() -> None:
    model = made(STABLE_LM)
    with torch.no_grad():
        model.norm.weight.fill_(float("nan"))  # type: ignore[operator, union-attr]
    fast = Int8Decoder(model)
    assert torch.isnan(next_logits(fast, [5], cache_for(fast, 4))).all()


def test_the_model_it_came_from_can_still_be_trained() -> None:
    model = made(STABLE_LM).train()
    fast = Int8Decoder(model)
    assert all(parameter.requires_grad for parameter in model.parameters()) and all(part.training for part in model.modules())
    assert not any(parameter.requires_grad for parameter in fast.parameters()) and not any(part.training for part in fast.modules())
    assert fast.embedding.weight.data_ptr() == model.embedding.weight.data_ptr()


def test_a_model_that_is_not_on_a_cpu_is_refused() -> None:
    with torch.device("meta"):
        model = Decoder(LLAMA)
    with pytest.raises(CannotDoError, match="the model is on meta"):
        Int8Decoder(model)


WAYS = [int8._by_fbgemm, int8._by_int_mm]


@pytest.mark.parametrize("way", WAYS, ids=["fbgemm", "int_mm"])
def test_each_way_adds_up_whole_numbers_without_error(way: int8._Way) -> None:
    if not int8._is_exact(way):
        pytest.skip("not exact on this CPU, where it is not taken")
    generator = torch.Generator().manual_seed(1)
    weight_OI = torch.randint(-127, 128, (70, 96), dtype=torch.int8, generator=generator)
    x_MI = torch.randint(-127, 128, (34, 96), generator=generator)
    scale_O = 2.0 ** torch.arange(70).remainder(5).neg()
    found_MO = way(weight_OI, scale_O)(x_MI.float())
    assert torch.equal(found_MO, (x_MI @ weight_OI.long().T) * scale_O)


def test_a_way_that_cuts_sums_or_is_not_there_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(weight_OI: torch.Tensor, scale_O: torch.Tensor) -> int8._Sums:
        return lambda x_MI: (x_MI @ weight_OI.float().T).clamp(max=64 * 32767) * scale_O - 1

    def missing(weight_OI: torch.Tensor, scale_O: torch.Tensor) -> int8._Sums:
        raise RuntimeError("Didn't find engine for operation")

    assert not int8._is_exact(cut) and not int8._is_exact(missing)
    monkeypatch.setattr(int8, "_sums_by", lambda: None)
    with pytest.raises(CannotDoError, match="not exact"):
        Int8Product(torch.randn(4, 4))
