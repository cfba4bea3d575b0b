import copy
import shutil
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from pellucid.kernels import linear
from pellucid.kernels.attention import Documents
from pellucid.model.cache import KVCache
from pellucid.model.decoder import Decoder, init_weights
from pellucid.plan.flops import recomputed_flops_per_token
from pellucid.plan.parameters import count_parameters
from pellucid.recipe.model import ModelConfig
from pellucid.train.loss import token_loss
from pellucid.train.recompute import checkpoint_activations
from pellucid.train.world import World

MODES = ("none", "block", "selective")
CONFIG = ModelConfig(
    vocab_tokens=97, context_tokens=128, layers=2, hidden=64, heads=4, kv_heads=4, mlp_hidden=96, norm="layernorm",
    norm_bias=True, rotary_frac=0.5, qkv_bias=True, tied_head=False,
)  # fmt: skip
LLAMA = CONFIG.model_copy(
    update={"norm": "rmsnorm", "norm_bias": False, "qkv_bias": False, "qk_norm": True, "kv_heads": 2, "tied_head": True}
)
IN_BLOCKS, FUSED = 128, 100
"""Lengths for which a CPU computes attention in blocks of its own, and by torch's fused operator."""


def model_of(config: ModelConfig, mode: Any) -> Decoder:
    model = Decoder(config)
    init_weights(model, 0)
    checkpoint_activations(model, mode)
    return model


def ids_of(tokens: int, seqs: int = 2) -> Tensor:
    return torch.randint(97, (seqs, tokens), generator=torch.Generator().manual_seed(1))


def loss_and_gradients(model: Decoder, ids_BT: Tensor, forward: Any = None, *, bf16: bool = False, **inputs: Any) -> list[Tensor]:
    """As the loop does it: autocast surrounds the forward pass and not the backward pass."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        x_BTD = (model if forward is None else forward)(ids_BT, **inputs)
        loss = token_loss(x_BTD, model.head_weight, ids_BT.roll(-1, 1)).loss_sum
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


def linear_flops(x_NI: Any, weight_OI: Any, *_: Any, **__: Any) -> int:
    return 2 * x_NI[0] * x_NI[1] * weight_OI[0]


def attention_flops(q_BHTC: Any, k_BHTC: Any, v_BHTC: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(q_BHTC, k_BHTC, v_BHTC)


def counting() -> FlopCounterMode:
    """Return torch's own counter, taught the two operators of the CPU that it does not know."""
    unknown = {
        torch.ops.mkldnn._linear_pointwise: linear_flops,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    }
    return FlopCounterMode(display=False, custom_mapping=unknown)


def watched(mode: Any, tokens: int, storage_watch: Any) -> tuple[int, int, int]:
    """Return the bytes alive after the forward pass, and the FLOPs of the forward and of the backward pass."""
    model, ids_BT = model_of(CONFIG, mode), ids_of(tokens)
    with counting() as forward, storage_watch([*model.parameters(), *model.buffers(), ids_BT]) as watch:
        x_BTD = model(ids_BT)
        kept = watch.live_bytes()
    with counting() as backward:
        x_BTD.sum().backward()
    return kept, forward.get_total_flops(), backward.get_total_flops()


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("tokens", [IN_BLOCKS, FUSED])
@pytest.mark.parametrize("config", [CONFIG, LLAMA], ids=["layernorm", "rmsnorm with qk_norm"])
def test_loss_and_gradients_are_the_same_bits(config: ModelConfig, tokens: int, bf16: bool) -> None:
    documents = Documents.of((torch.arange(tokens) // 37).repeat(2, 1))
    inputs = {"documents": documents, "bf16": bf16}
    results = [loss_and_gradients(model_of(config, mode), ids_of(tokens), **inputs) for mode in MODES]
    for others in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(results[0], others, strict=True))


@pytest.mark.parametrize("tokens", [IN_BLOCKS, FUSED])
def test_selective_keeps_less_than_none_and_computes_less_again_than_block(tokens: int, storage_watch: Any) -> None:
    found = {mode: watched(mode, tokens, storage_watch) for mode in MODES}
    kept, forward, backward = ({mode: each[i] for mode, each in found.items()} for i in range(3))
    assert kept["block"] < kept["selective"] < 0.75 * kept["none"]
    assert forward["none"] == forward["block"] == forward["selective"]
    assert backward["block"] - backward["none"] == forward["none"]
    attention = forward["none"] - 2 * ids_of(tokens).numel() * matrices(CONFIG)
    again = attention if tokens == IN_BLOCKS else 0
    assert backward["selective"] - backward["none"] == again < 0.3 * forward["none"]


def matrices(config: ModelConfig) -> int:
    """Return the number of weights of the blocks' linear layers, biases left out."""
    return count_parameters(config.model_copy(update={"qkv_bias": False})).block_matrices


def test_the_plan_counts_what_block_computes_again(storage_watch: Any) -> None:
    _, forward, backward = watched("block", IN_BLOCKS, storage_watch)
    more = backward - watched("none", IN_BLOCKS, storage_watch)[2]
    planned = recomputed_flops_per_token(CONFIG.model_copy(update={"qkv_bias": False}), IN_BLOCKS) * ids_of(IN_BLOCKS).numel()
    # Attention in blocks does half a block above the diagonal.
    assert planned <= more == pytest.approx(planned, rel=0.1)
    assert more == forward


def test_without_the_fast_path_the_products_are_still_kept(monkeypatch: pytest.MonkeyPatch, storage_watch: Any) -> None:
    monkeypatch.setattr(linear, "_onednn", None)
    counts = {}
    for mode in MODES:
        model, ids_BT = model_of(CONFIG, mode), ids_of(FUSED)
        x_BTD = model(ids_BT)
        with storage_watch([]) as watch:
            x_BTD.sum().backward()
        names = ("aten.addmm.default", "aten.mm.default", "aten._scaled_dot_product_flash_attention_for_cpu.default")
        counts[mode] = [watch.operators[name] for name in names]
    assert counts["selective"] == counts["none"]
    addmm, mm, attention = (again - before for again, before in zip(counts["block"], counts["none"], strict=True))
    assert (addmm, attention) == (2 * 3, 2)
    assert mm in (2 * 3, 2 * 4)  # the last product of a block need not be computed again


@pytest.mark.parametrize("mode", MODES)
def test_names_copies_and_decoding_with_a_cache_stay_as_they_are(mode: Any) -> None:
    plain, model, ids_BT = model_of(CONFIG, "none"), model_of(CONFIG, mode), ids_of(40)
    assert list(model.state_dict()) == list(plain.state_dict())
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(twin(ids_BT), plain(ids_BT))
    cache = KVCache(CONFIG, batch_seqs=2)
    parts = [twin(part_BT, cache=cache) for part_BT in ids_BT.split(9, dim=1)]
    assert cache.length == 40
    torch.testing.assert_close(torch.cat(parts, dim=1), plain(ids_BT), atol=1e-5, rtol=1e-5)


def test_sharded_blocks_have_the_same_bits_with_and_without(ranks: Any) -> None:
    assert ranks(2, {"call": [__file__, "shard_and_compare"]}) == [2 * 2]


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")
@pytest.mark.parametrize("by_block", [True, False])
def test_compiled_they_agree_and_keep_less(by_block: bool) -> None:
    want, ids_BT = loss_and_gradients(model_of(CONFIG, "none"), ids_of(64)), ids_of(64)
    kept: dict[str, int] = {}
    for mode in MODES:
        torch._dynamo.reset()
        model = model_of(CONFIG, mode)
        forward: Any = model
        if by_block:
            for block in model.blocks:
                block.compile(dynamic=False, fullgraph=True)
        else:
            forward = torch.compile(model, dynamic=False, fullgraph=True)
        for one, other in zip(loss_and_gradients(model, ids_BT, forward), want, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
        sizes: dict[int, tuple[int, Tensor]] = {}
        own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers(), ids_BT)}

        def pack(tensor: Tensor, own: set[int] = own, sizes: dict[int, tuple[int, Tensor]] = sizes) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes(), tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            forward(ids_BT)
        kept[mode] = sum(size for size, _ in sizes.values())
    assert kept["block"] < kept["selective"] < kept["none"]


def shard_and_compare(world: World) -> int:
    """One of two processes: blocks wrapped by FSDP2 after checkpointing, in float32 and in bfloat16; counts what is the same."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    same = 0
    for dtype in (torch.float32, torch.bfloat16):
        results = []
        for mode in MODES:
            model = model_of(LLAMA, mode)
            names = list(model.state_dict())
            for module in (*model.blocks, model):
                fully_shard(module, mp_policy=MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32))
            assert list(model.state_dict()) == names
            loss = model(ids_of(IN_BLOCKS).roll(world.rank)).float().square().sum()
            loss.backward()
            results.append([loss.detach(), *(parameter.grad.full_tensor() for parameter in model.parameters())])
        for others in results[1:]:
            assert all(torch.equal(one, other) for one, other in zip(results[0], others, strict=True))
            same += 1
    return min(world.everyone(same))
