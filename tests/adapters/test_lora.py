import shutil
from typing import Any

import pytest
import torch

from pellucid.adapters.lora import (
    MODULES,
    LoraLinear,
    adapter_scale,
    add_adapters,
    base_state,
    is_adapted,
    merge_adapters,
    merged_state,
    trainable_parameters,
)
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.tuning import AdapterConfig
from pellucid.train.compilation import compile_model

LLAMA = ModelConfig(
    vocab_tokens=96, context_tokens=64, layers=2, hidden=64, heads=4, kv_heads=2, mlp_hidden=128, norm="rmsnorm",
    norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True,
)  # fmt: skip
ADAPTER = AdapterConfig(rank=4, alpha=12.0)
SOME = AdapterConfig(rank=3, alpha=6.0, rank_stabilized=True, targets=("query", "value", "down"))


def adapted(twins: Any, config: ModelConfig, adapter: AdapterConfig = ADAPTER, *, seed: int = 5) -> Decoder:
    """A model whose adapters do something, as after some training."""
    model: Decoder = twins.plain(config)
    add_adapters(model, adapter, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("lora_b"):
                parameter.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(len(name)))
    return model


def logits(model: Decoder, ids_BT: torch.Tensor) -> torch.Tensor:
    return model.logits(model(ids_BT))


def theirs_with(twins: Any, model: Decoder, adapter: AdapterConfig) -> Any:
    """The same model in peft, with the same A and B."""
    peft = pytest.importorskip("peft")
    plain = Decoder(model.config)
    plain.load_state_dict(base_state(model.state_dict()))
    theirs = peft.get_peft_model(twins.in_transformers(plain), twins.peft_config(adapter))
    ours = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name:
                parameter.copy_(ours[our_name(name)])
    return theirs


def our_name(theirs: str) -> str:
    parts = theirs.split(".")
    layer, part, kind = parts[parts.index("layers") + 1], parts[-4], parts[-3]
    target = {"q": "query", "k": "key", "v": "value", "o": "output"}.get(part.removesuffix("_proj"), part.removesuffix("_proj"))
    return f"blocks.{layer}.{MODULES[target]}.{kind.lower()}"


def test_a_model_with_new_adapters_computes_what_it_did_before(twins: Any, config: ModelConfig, ids: torch.Tensor) -> None:
    model = twins.plain(config)
    before = logits(model, ids)
    add_adapters(model, ADAPTER, 5)
    assert is_adapted(model)
    assert torch.equal(logits(model, ids), before)


@pytest.mark.parametrize("adapter", [ADAPTER, SOME], ids=["all", "some"])
def test_logits_and_gradients_equal_those_of_peft(
    twins: Any, config: ModelConfig, ids: torch.Tensor, adapter: AdapterConfig
) -> None:
    model = adapted(twins, config, adapter)
    theirs = theirs_with(twins, model, adapter)
    ours_BTV, theirs_BTV = logits(model, ids), theirs(ids).logits
    torch.testing.assert_close(ours_BTV, theirs_BTV, rtol=0, atol=1e-5)
    for logits_BTV in (ours_BTV, theirs_BTV):
        torch.nn.functional.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    ours = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    gradients = {our_name(name): parameter.grad for name, parameter in theirs.named_parameters() if parameter.grad is not None}
    assert ours.keys() == gradients.keys()
    assert len(ours) == 2 * 2 * len(adapter.targets)
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("adapter", [ADAPTER, SOME], ids=["all", "some"])
def test_merged_weights_have_the_bits_of_pefts(twins: Any, config: ModelConfig, ids: torch.Tensor, adapter: AdapterConfig) -> None:
    model = adapted(twins, config, adapter)
    before, state = logits(model, ids), model.state_dict()
    theirs = theirs_with(twins, model, adapter).merge_and_unload()
    merge_adapters(model)
    assert not is_adapted(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    expected = twins.in_transformers(model).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in theirs.state_dict().items())
    torch.testing.assert_close(logits(model, ids), before, rtol=0, atol=1e-5)
    merged = merged_state(state, adapter)
    assert merged.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, merged[name]) for name, tensor in model.state_dict().items())


def test_only_adapters_are_learnt_and_the_base_keeps_its_names(twins: Any, config: ModelConfig) -> None:
    plain, model = twins.plain(config), adapted(twins, config, SOME)
    learnt = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.rpartition(".")[2] for name in learnt} == {"lora_a", "lora_b"}
    assert model.state_dict().keys() - plain.state_dict().keys() == learnt
    assert plain.state_dict().keys() <= model.state_dict().keys()
    channels = config.kv_heads * config.head_channels
    wide = [(config.hidden, config.hidden), (channels, config.hidden), (config.hidden, config.mlp_hidden)]
    assert trainable_parameters(model) == config.layers * sum(SOME.rank * (out + into) for out, into in wide)
    assert all(torch.equal(tensor, base_state(model.state_dict())[name]) for name, tensor in plain.state_dict().items())


def test_a_begins_as_peft_draws_it_each_from_a_seed_of_its_own(twins: Any, config: ModelConfig) -> None:
    first, again, other = (twins.plain(config) for _ in range(3))
    add_adapters(first, ADAPTER, 5)
    add_adapters(again, SOME.model_copy(update={"rank": ADAPTER.rank}), 5)
    add_adapters(other, ADAPTER, 6)
    name = "blocks.1.attention.query.lora_a"
    a_RI = first.state_dict()[name]
    assert torch.equal(a_RI, again.state_dict()[name]), "what else is adapted moves nothing"
    assert not torch.equal(a_RI, other.state_dict()[name])
    torch.nn.init.kaiming_uniform_(like := torch.empty(4, config.hidden), a=5**0.5)
    assert float(a_RI.abs().max()) <= config.hidden**-0.5
    assert float(a_RI.abs().max()) == pytest.approx(float(like.abs().max()), rel=0.1)
    assert a_RI.unique().numel() == a_RI.numel()


def test_the_scale_is_alpha_by_rank_or_by_its_root() -> None:
    assert adapter_scale(ADAPTER) == 3.0
    assert adapter_scale(SOME) == pytest.approx(6 / 3**0.5)


@pytest.mark.parametrize("kind", ["none", "int8", "nf4"])
def test_the_gradient_is_that_of_the_plain_expression_in_bfloat16_too(twins: Any, config: ModelConfig, kind: Any) -> None:
    model = adapted(twins, config, AdapterConfig(rank=4, quantize=kind))
    module = model.blocks[0].attention.query
    assert isinstance(module, LoraLinear)
    weight_OI = base_state(model.state_dict())["blocks.0.attention.query.weight"]
    bias_O = module.bias if module.bias is not None else torch.zeros(module.shape[0])
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        x_NI = torch.randn(100, 64, generator=torch.Generator().manual_seed(3), requires_grad=True)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype == torch.bfloat16):
            found = module(x_NI)
            assert found.dtype == dtype
        found_grads = torch.autograd.grad(found.float().square().sum(), [x_NI, module.lora_a, module.lora_b])
        wanted = x_NI @ weight_OI.T + bias_O + module.scale * (x_NI @ module.lora_a.T) @ module.lora_b.T
        wanted_grads = torch.autograd.grad(wanted.square().sum(), [x_NI, module.lora_a, module.lora_b])
        for one, two in zip((found, *found_grads), (wanted, *wanted_grads), strict=True):
            assert float((one - two).detach().norm() / two.detach().norm()) < tolerance


@pytest.mark.parametrize("kind", ["none", "nf4"])
def test_what_is_kept_for_backward_is_no_dequantised_matrix(twins: Any, config: ModelConfig, kind: Any) -> None:
    model = adapted(twins, config, AdapterConfig(rank=4, quantize=kind))
    module = model.blocks[0].mlp.up
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        module(torch.randn(100, 64, requires_grad=True))
    dense = [tensor for tensor in kept if tuple(tensor.shape) in (module.shape, module.shape[::-1])]
    assert len(dense) == (1 if kind == "none" else 0)
    assert sum(tensor.nbytes for tensor in kept) > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["none", "int8", "nf4"])
def test_compiled_blocks_with_adapters_compute_the_same_and_are_compiled_once(twins: Any, ids: torch.Tensor, kind: Any) -> None:
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("needs a C++ compiler")
    torch._dynamo.reset()
    model = adapted(twins, LLAMA.model_copy(update={"layers": 6}), AdapterConfig(rank=4, quantize=kind))
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    plain = logits(model, ids)
    plain_grads = torch.autograd.grad(plain.square().mean(), learnt)
    assert compile_model(model, "on", torch.device("cpu"))
    torch._dynamo.utils.counters.clear()
    compiled = logits(model, ids)
    # The first block is another: what goes into it has no gradient.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-4)
    for one, two in zip(torch.autograd.grad(compiled.square().mean(), learnt), plain_grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3 * float(two.abs().max()))
