from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import varlen

from pellucid.kernels import attention as kernel
from pellucid.kernels.attention import Documents, attention, documents_by_flash
from pellucid.model import decoder
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.train.device import Device, deterministic

TOKENS = st.sampled_from([1, 7, 63, 64, 65, 128, 192])


def numbered(lengths: list[list[int]], tokens: int) -> Tensor:
    """Document numbers of sequences whose documents have these lengths; the last goes on to the end."""
    rows = [torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row))[:tokens] for row in lengths]
    return torch.stack([F.pad(row, (0, tokens - len(row)), value=len(row)) for row in rows])


def mask_of(number_BT: Tensor) -> Tensor:
    return (number_BT[:, None, :, None] == number_BT[:, None, None, :]).tril()


def plain_attention(mask_B1TT: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], dim=1) for t in (k, v))
        weights = (q @ k.mT / q.shape[3] ** 0.5).masked_fill(~mask_B1TT, -torch.inf)
        return weights.softmax(-1) @ v

    return run


@settings(max_examples=15, deadline=None)
@given(tokens=TOKENS, kv_heads=st.sampled_from([1, 2, 4]), seed=st.integers(0, 9))
def test_causal_attention_equals_the_formula_at_any_length_and_grouping(
    tokens: int, kv_heads: int, seed: int, tensors: Any, check: Any
) -> None:
    inputs = tensors((2, 4, tokens, 8), (2, kv_heads, tokens, 8), (2, kv_heads, tokens, 8), seed=seed)
    causal = torch.ones(1, 1, tokens, tokens, dtype=torch.bool).tril()
    check(lambda q, k, v: attention(q, k, v, causal=tokens > 1), plain_attention(causal), inputs)


@settings(max_examples=30, deadline=None)
@given(
    tokens=TOKENS,
    kv_heads=st.sampled_from([1, 2, 4]),
    lengths=st.lists(st.lists(st.integers(1, 150), min_size=1, max_size=6), min_size=2, max_size=2),
    one_by_one=st.booleans(),
    seed=st.integers(0, 9),
)
def test_documents_see_themselves_only(
    tokens: int, kv_heads: int, lengths: list[list[int]], one_by_one: bool, seed: int, tensors: Any, check: Any
) -> None:
    inputs = tensors((2, 4, tokens, 8), (2, kv_heads, tokens, 8), (2, kv_heads, tokens, 8), seed=seed)
    number_BT = numbered(lengths, tokens)
    mask, documents = mask_of(number_BT), Documents.of(number_BT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_TOGETHER", 0 if one_by_one else 512)
        check(lambda q, k, v: attention(q, k, v, mask, False, documents), plain_attention(mask), inputs)
        check(lambda q, k, v: attention(q, k, v, mask, False), plain_attention(mask), inputs)


def seen_across_languages(number_BT: Tensor, language_BT: Tensor) -> Tensor:
    """Who sees whom, pair by pair."""
    rows = zip(number_BT.tolist(), language_BT.tolist(), strict=True)
    seen = [
        [[s <= t and (row[s] == row[t] or spoken[s] != spoken[t]) for s in range(len(row))] for t in range(len(row))]
        for row, spoken in rows
    ]
    return torch.tensor(seen)[:, None]


def spoken_in(number_BT: Tensor, languages: list[int]) -> Tensor:
    return torch.tensor(languages)[number_BT % len(languages)]


@settings(max_examples=30, deadline=None)
@given(
    tokens=TOKENS,
    kv_heads=st.sampled_from([1, 2, 4]),
    lengths=st.lists(st.lists(st.integers(1, 150), min_size=1, max_size=6), min_size=2, max_size=2),
    languages=st.lists(st.integers(0, 2), min_size=1, max_size=5),
    seed=st.integers(0, 9),
)
def test_documents_see_themselves_and_earlier_ones_of_other_languages(
    tokens: int, kv_heads: int, lengths: list[list[int]], languages: list[int], seed: int, tensors: Any, check: Any
) -> None:
    inputs = tensors((2, 4, tokens, 8), (2, kv_heads, tokens, 8), (2, kv_heads, tokens, 8), seed=seed)
    number_BT = numbered(lengths, tokens)
    language_BT = spoken_in(number_BT, languages)
    documents = Documents.of(number_BT, language_BT=language_BT)
    wanted = seen_across_languages(number_BT, language_BT)
    assert torch.equal(documents.mask(), wanted)
    assert not documents.positions_restart

    def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=wanted, enable_gqa=True)

    for plain in (dense, plain_attention(wanted)):
        check(lambda q, k, v: attention(q, k, v, documents.mask(), False, documents), plain, inputs)
    # No block of queries leaves out a block of keys that one of them sees.
    for row, blocks in enumerate(documents.first_blocks):
        for block, first in enumerate(blocks):
            assert not wanted[row, 0, block * 64 : block * 64 + 64, : first * 64].any()
            assert wanted[row, 0, block * 64 : block * 64 + 64, first * 64 : first * 64 + 64].any()


def test_what_no_document_shares_is_not_computed(tensors: Any, storage_watch: Any) -> None:
    inputs = tensors((1, 2, 1024, 8), (1, 2, 1024, 8), (1, 2, 1024, 8))
    number_BT = (torch.arange(1024) // 64)[None]
    mask, kept = mask_of(number_BT), {}
    for name, documents in {"whole": None, "documents": Documents.of(number_BT)}.items():
        with storage_watch([*inputs, mask]) as watch:
            y_BHTC = attention(*inputs, mask, False, documents)
            kept[name] = watch.live_bytes()
        del y_BHTC
    probabilities = 4 * 2 * 1024 * 64
    assert kept["whole"] - kept["documents"] == probabilities * (17 / 2 - 1)


def test_one_new_query_sees_all_keys(tensors: Any) -> None:
    q, k, v = tensors((1, 4, 1, 8), (1, 2, 90, 8), (1, 2, 90, 8))
    k_all, v_all = (t.repeat_interleave(2, dim=1) for t in (k, v))
    want = F.scaled_dot_product_attention(q, k_all, v_all)
    torch.testing.assert_close(attention(q, k, v, causal=False), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", [192, 1024])
def test_the_same_bits_come_out_each_time(tokens: int, tensors: Any) -> None:
    inputs = tensors((2, 4, tokens, 8), (2, 4, tokens, 8), (2, 4, tokens, 8))
    once, again = (torch.autograd.grad(attention(*inputs).square().sum(), inputs) for _ in range(2))
    assert all(map(torch.equal, once, again))


def test_it_is_computed_in_float32_under_autocast_and_gives_gradients_back_in_the_inputs_type(tensors: Any) -> None:
    inputs = tensors((2, 4, 128, 8), (2, 4, 128, 8), (2, 4, 128, 8), dtype=torch.bfloat16)
    wide = [t.detach().float().requires_grad_() for t in inputs]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = attention(*inputs)
    want = F.scaled_dot_product_attention(*wide, is_causal=True)
    torch.testing.assert_close(got.float(), want, atol=1e-5, rtol=1e-5)
    for one, other in zip(torch.autograd.grad(got.sum(), inputs), torch.autograd.grad(want.sum(), wide), strict=True):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one.float(), other, atol=2e-2, rtol=2e-2)


def test_documents_are_located_through_all_sequences() -> None:
    documents = Documents.of(numbered([[3, 5], [8], [1, 1, 6]], 8))
    assert documents.starts_N.dtype == torch.int32
    assert documents.starts_N.tolist() == [0, 3, 8, 16, 17, 18, 24]
    # Equal numbers on both sides of a border between sequences are two documents.
    assert Documents.of(torch.zeros(2, 4)).starts_N.tolist() == [0, 4, 8]


def test_on_another_device_the_number_of_documents_is_a_variable_of_the_compiler_and_nothing_else_varies() -> None:
    documents = Documents.of(numbered([[3, 5], [8]], 8), lambda x: x.to("meta"))
    assert documents.starts_N._dynamo_dynamic_indices == {0} and documents.first_blocks == ()
    assert documents.starts_N.is_meta and documents.number_BT.is_meta


def test_flash_attention_is_only_given_what_it_takes() -> None:
    class OnAGpu:
        is_cuda, device = True, torch.device("cuda", 0)

        def __init__(self, dtype: torch.dtype) -> None:
            self.dtype = dtype

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
        patch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
        half, full = OnAGpu(torch.bfloat16), OnAGpu(torch.float32)
        assert documents_by_flash(half, 64) and not documents_by_flash(full, 64)
        assert not documents_by_flash(half, 12) and not documents_by_flash(half, 264)
        patch.setattr(torch, "is_autocast_enabled", lambda _: True)
        patch.setattr(torch, "get_autocast_dtype", lambda _: torch.bfloat16)
        assert documents_by_flash(full, 64)
        patch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
        assert not documents_by_flash(half, 64)
    assert not documents_by_flash(torch.zeros(1, dtype=torch.bfloat16), 64)


def test_blocks_begin_at_the_first_key_that_one_of_their_queries_sees() -> None:
    documents = Documents.of(numbered([[70, 58, 64], [192]], 192))
    assert documents.first_blocks == ((0, 0, 2), (0, 0, 0))
    assert Documents.of(numbered([[63, 1, 128]], 192)).first_blocks == ((0, 1, 1),)


@pytest.fixture(scope="module")
def flash_on_a_cpu() -> Iterator[None]:
    """Give the operator of documents a kernel for the CPU, written down from what its documentation says of its arguments.

    Registered on the operator itself (for the rest of the process): autograd and shapes for the compiler are torch's own.
    """

    def runs(starts_N: Tensor) -> list[slice]:
        return [slice(a, b) for a, b in zip(starts_N.tolist(), starts_N[1:].tolist(), strict=False) if a < b]

    def probabilities(q_HnC: Tensor, k_HnC: Tensor) -> Tensor:
        lower = torch.ones(q_HnC.shape[1], q_HnC.shape[1], dtype=torch.bool).tril()
        return (q_HnC @ k_HnC.mT / q_HnC.shape[2] ** 0.5).masked_fill(~lower, -torch.inf).softmax(-1)

    def of_run(run: slice, heads: int, *parts_MHC: Tensor) -> list[Tensor]:
        return [t[run].transpose(0, 1).repeat_interleave(heads // t.shape[1], 0) for t in parts_MHC]

    def forward(
        q: Tensor, k: Tensor, v: Tensor, starts: Tensor, ends: Tensor, most: int, keys: int, *rest: Any
    ) -> tuple[Tensor, ...]:
        causal, scale, window = rest[:3]
        assert causal and scale is None and list(window) == [-1, 0] and torch.equal(starts, ends) and most == keys
        assert starts.dtype == torch.int32 and starts.diff().min() >= 0 and starts.diff().max() <= most
        assert starts[0] == 0 and starts[-1] == len(q)
        y = torch.empty_like(q)
        for run in runs(starts):
            one_q, one_k, one_v = of_run(run, q.shape[1], q, k, v)
            y[run] = (probabilities(one_q, one_k) @ one_v).transpose(0, 1)
        return y, q.new_zeros(q.shape[1], len(q)), q.new_zeros(2, dtype=torch.uint64)

    def backward(
        dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, _: Tensor, starts: Tensor, *rest: Any
    ) -> tuple[Tensor, ...]:
        dq, dk, dv = (torch.empty_like(t) for t in (q, k, v))
        for run in runs(starts):
            one_q, one_k, one_v, one_dy = of_run(run, q.shape[1], q, k, v, dy)
            p = probabilities(one_q, one_k)
            dp = one_dy @ one_v.mT
            ds = p * (dp - (p * dp).sum(-1, keepdim=True)) / q.shape[2] ** 0.5
            dq[run] = (ds @ one_k).transpose(0, 1)
            for total, part in ((dk, ds.mT @ one_q), (dv, p.mT @ one_dy)):
                total[run] = part.unflatten(0, (k.shape[1], -1)).sum(1).transpose(0, 1)
        return dq, dk, dv

    varlen._varlen_attn.register_kernel("cpu")(forward)
    varlen._varlen_attn_backward.register_kernel("cpu")(backward)
    yield


@pytest.mark.usefixtures("flash_on_a_cpu")
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_flash_attention_gets_the_documents_end_to_end(kv_heads: int, tensors: Any, check: Any) -> None:
    inputs = tensors((2, 4, 65, 8), (2, kv_heads, 65, 8), (2, kv_heads, 65, 8))
    number_BT = numbered([[20, 30], [1, 2]], 65)
    documents = Documents.of(number_BT)
    check(lambda q, k, v: attention(q, k, v, None, False, documents), plain_attention(mask_of(number_BT)), inputs)


@pytest.mark.usefixtures("flash_on_a_cpu")
@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_a_decoder_reads_the_same_by_flash_attention_and_by_mask(norm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelConfig(
        vocab_tokens=50, context_tokens=96, hidden=32, layers=2, heads=4, kv_heads=2, mlp_hidden=48, norm=norm, norm_bias=False,
        rotary_frac=0.5, qkv_bias=True, tied_head=False, qk_norm=True,
    )  # fmt: skip
    model, ids_BT = Decoder(config), torch.arange(180).view(2, 90) % 50
    init_weights(model, 3)
    documents = Documents.of(numbered([[20, 30], [1, 2]], 90))
    by_mask = model(ids_BT, documents=documents)
    wanted = torch.autograd.grad(by_mask.square().sum(), list(model.blocks.parameters()))
    monkeypatch.setattr(decoder, "documents_by_flash", lambda *_: True)
    monkeypatch.setattr(F, "scaled_dot_product_attention", None)
    by_flash = model(ids_BT, documents=documents)
    torch.testing.assert_close(by_flash, by_mask, atol=1e-5, rtol=1e-5)
    for one, other in zip(torch.autograd.grad(by_flash.square().sum(), list(model.blocks.parameters())), wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("flash_on_a_cpu")
def test_any_number_of_documents_is_one_compiled_program(tensors: Any) -> None:
    programs = []

    def count(graph: torch.fx.GraphModule, _: Any) -> Any:
        programs.append(graph)
        return graph.forward

    run = torch.compile(lambda q, k, v, documents: attention(q, k, v, None, False, documents), backend=count, dynamic=False)
    inputs = tensors((1, 2, 256, 8), (1, 2, 256, 8), (1, 2, 256, 8))
    for documents in (1, 64, 200):
        number_BT = (torch.arange(256) * documents // 256)[None]
        located = Documents.of(number_BT)._replace(first_blocks=())
        torch._dynamo.mark_dynamic(located.starts_N, 0)
        got = run(*inputs, located)
        torch.testing.assert_close(got, plain_attention(mask_of(number_BT))(*inputs), atol=1e-5, rtol=1e-5)
    assert len(programs) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_flash_attention_on_a_gpu_equals_the_formula(kv_heads: int, tensors: Any) -> None:
    shapes = (2, 4, 512, 64), (2, kv_heads, 512, 64), (2, kv_heads, 512, 64)
    inputs = [t.detach().cuda().requires_grad_() for t in tensors(*shapes, dtype=torch.bfloat16)]
    number_BT = numbered([[20, 300], [1, 2, 100]], 512)
    documents = Documents.of(number_BT, lambda x: x.cuda())
    got = attention(*inputs, None, False, documents)
    want = plain_attention(mask_of(number_BT).cuda())(*(t.float() for t in inputs))
    torch.testing.assert_close(got.float(), want, atol=2e-2, rtol=2e-2)
    with deterministic(), Device(torch.device("cuda"), "bf16").backward():
        once, again = (torch.autograd.grad(got.float().square().sum(), inputs, retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, once, again))
    for one, other in zip(once, torch.autograd.grad(want.square().sum(), inputs), strict=True):
        torch.testing.assert_close(one, other, atol=0.1, rtol=0.1)
