"""Attention as each machine computes it fastest; values and gradients equal the plain formula's to rounding.

A CPU in float32 goes by blocks of queries, so that what the causal mask or a document's edge hides is skipped, in the backward pass
too. A GPU in 16 bits gives documents to flash attention as sequences of different lengths (Dao 2023, arXiv 2307.08691). Everything
else is left to torch's `scaled_dot_product_attention`. `benchmarks/cpu_pretrain.py` and `gpu_pretrain.py` say what this gains.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.kernels.linear import many_on_cpu

__all__ = ["Documents", "attention", "document_starts", "documents_by_flash"]

_QUERY_BLOCK = 64
_LONGEST = 2048
"""Block attention keeps its probabilities for the backward pass, T·T/2 a head; longer sequences recompute them, as SDPA does."""
_TOGETHER = 512
"""Up to this length the sequences of a batch are computed together, beyond one by one: then a block's scores stay in the cache."""

# Grouped queries are asked for by name since torch 2.12; 2.11 takes them as they come.
_GROUPED: dict[str, Any] = {} if torch.__version__.startswith("2.11.") else {"enable_gqa": True}


class Documents(NamedTuple):
    """The documents of B sequences of T tokens, in the forms that the ways of computing attention ask for.

    A token sees its own document up to itself. With languages it also sees every earlier document of another language, and none
    of its own (`attention: cross_lingual`).
    """

    number_BT: Tensor
    """Equal inside one document, different in the next of its sequence."""
    starts_N: Tensor
    """int32: the first token of each document, counted through all B·T; at the end B·T."""
    first_blocks: tuple[tuple[int, ...], ...]
    """On a CPU, for each sequence, for each block of queries: the block of the first key that one of them sees."""
    language_BT: Tensor | None = None
    """A number for the language of each token, or None: documents see only themselves."""

    @classmethod
    def of(
        cls, number_BT: Tensor, send: Callable[[Tensor], Tensor] = lambda x: x, language_BT: Tensor | None = None
    ) -> "Documents":
        """Locate documents by a number per position, on the CPU; `send` takes tensors to the device that computes."""
        start_BT = document_starts(number_BT)
        begins_M = (start_BT == torch.arange(number_BT.shape[1])).flatten()
        starts_N = F.pad(begins_M.nonzero().flatten(), (0, 1), value=number_BT.numel()).int()
        first_BN = start_BT[:, ::_QUERY_BLOCK] if language_BT is None else _first_seen(start_BT, language_BT)
        number_BT, starts_N = send(number_BT), send(starts_N)
        language_BT = None if language_BT is None else send(language_BT)
        if number_BT.device.type != "cpu":
            # One compiled program for any number of documents, though all other shapes are taken as fixed.
            torch._dynamo.mark_dynamic(starts_N, 0)
            return cls(number_BT, starts_N, (), language_BT)
        return cls(number_BT, starts_N, tuple(map(tuple, (first_BN // _QUERY_BLOCK).tolist())), language_BT)

    @property
    def positions_restart(self) -> bool:
        """Whether positions count from 0 in each document: not where documents see others, whose distance would be wrong."""
        return self.language_BT is None

    def mask(self) -> Tensor:
        """Return where a query, the row, may look, (B, 1, T, T)."""
        seen_BTT = self.number_BT[:, :, None] == self.number_BT[:, None, :]
        if self.language_BT is not None:
            seen_BTT |= self.language_BT[:, :, None] != self.language_BT[:, None, :]
        return seen_BTT.tril()[:, None]


def _first_seen(start_BT: Tensor, language_BT: Tensor) -> Tensor:
    """Return for each block of queries the first position that one of them sees, (B, blocks).

    That is the first of another language, or the beginning of one's own document.
    """
    tokens = language_BT.shape[1]
    foreign_BT = language_BT != language_BT[:, :1]
    # Whoever speaks another language than the first token sees from there on; the others from the first token that does.
    change_B1 = torch.where(foreign_BT.any(dim=1, keepdim=True), foreign_BT.int().argmax(dim=1, keepdim=True), tokens)
    first_BT = torch.where(foreign_BT, 0, torch.minimum(start_BT, change_B1))
    return torch.stack([part_Bt.amin(dim=1) for part_Bt in torch.split(first_BT, _QUERY_BLOCK, 1)], dim=1)


def document_starts(number_BT: Tensor) -> Tensor:
    """Return where in its sequence the document of each position begins, (B, T), by a number per position."""
    begins_BT = F.pad(number_BT[:, 1:] != number_BT[:, :-1], (1, 0), value=True)
    return torch.where(begins_BT, torch.arange(number_BT.shape[1], device=number_BT.device), 0).cummax(dim=1).values


def documents_by_flash(weight: Tensor, head_channels: int) -> bool:
    """Tell whether documents are given to flash attention on the device of `weight`, or else as a mask."""
    if head_channels % 8 or head_channels > 256:
        return False
    kind = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else weight.dtype
    if not weight.is_cuda or kind not in (torch.bfloat16, torch.float16):
        return False
    if not torch.backends.cuda.is_flash_attention_available() or torch.cuda.get_device_capability(weight.device) < (8, 0):
        return False
    # Loads torch's compiler, which takes a second, so not with this module; but the operator has to be known before blocks are
    # compiled, or told to keep what it returns.
    import_module("torch.nn.attention.varlen")
    return True


def attention(
    q_BHTC: Tensor,
    k_BKSC: Tensor,
    v_BKSC: Tensor,
    mask_B1TS: Tensor | None = None,
    causal: bool = True,
    documents: Documents | None = None,
) -> Tensor:
    """Return what every head reads, (B, H, T, C): softmax(q·kᵀ/√C)·v over the keys that the mask allows, causal ones by default.

    `mask_B1TS` is True where a query may look, and must not look ahead when T = S; K divides H (grouped queries). `documents` say
    the same as their mask, which is to be given too unless `documents_by_flash`.
    """
    tokens, groups = q_BHTC.shape[2], q_BHTC.shape[1] // k_BKSC.shape[1]
    if documents is not None and mask_B1TS is None:
        return _flash_documents(q_BHTC, k_BKSC, v_BKSC, documents.starts_N)
    lower = causal or (mask_B1TS is not None and tokens == k_BKSC.shape[2])
    exact = q_BHTC.dtype == torch.float32 or torch.is_autocast_enabled("cpu")
    fits = tokens <= _LONGEST and tokens % _QUERY_BLOCK == 0 and many_on_cpu(q_BHTC, tokens)
    if not (fits and lower and exact and torch.is_grad_enabled()):
        return F.scaled_dot_product_attention(q_BHTC, k_BKSC, v_BKSC, attn_mask=mask_B1TS, is_causal=causal, enable_gqa=groups > 1)
    if groups > 1:
        k_BKSC, v_BKSC = (t.repeat_interleave(groups, dim=1) for t in (k_BKSC, v_BKSC))
    return _in_blocks(q_BHTC, k_BKSC, v_BKSC, mask_B1TS, documents)


def _flash_documents(q_BHTC: Tensor, k_BKTC: Tensor, v_BKTC: Tensor, starts_N: Tensor) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    batch, tokens = q_BHTC.shape[0], q_BHTC.shape[2]
    # Norms of queries and keys may leave them in float32; the values are what a linear layer gave.
    q_MHC, k_MKC, v_MKC = (t.transpose(1, 2).flatten(0, 1).to(v_BKTC.dtype) for t in (q_BHTC, k_BKTC, v_BKTC))
    # The length of the longest document is not asked for, which would have to be waited for: no document is longer than T.
    y_MHC: Tensor = varlen_attn(  # type: ignore[assignment]
        q_MHC, k_MKC, v_MKC, starts_N, starts_N, tokens, tokens, window_size=(-1, 0), **_GROUPED
    )
    return y_MHC.view(batch, tokens, *y_MHC.shape[1:]).transpose(1, 2)


def _in_blocks(q_BHTC: Tensor, k_BHTC: Tensor, v_BHTC: Tensor, mask_B1TT: Tensor | None, documents: Documents | None) -> Tensor:
    batch, tokens = q_BHTC.shape[0], q_BHTC.shape[2]
    first_BN = documents.first_blocks if documents is not None else ((0,) * (tokens // _QUERY_BLOCK),) * batch
    rows = batch if tokens <= _TOGETHER else 1
    read = []
    # Split and put together as wholes: the gradient of a slice is a tensor of zeros as large as what it was cut from.
    for at, q, k, v in zip(range(0, batch, rows), *(torch.split(t, rows) for t in (q_BHTC, k_BHTC, v_BHTC)), strict=True):
        mask = None if mask_B1TT is None else mask_B1TT[at : at + rows]
        first_N = [min(column) for column in zip(*first_BN[at : at + rows], strict=True)]
        read.append(_BlockAttention.apply(q, k, v, mask, first_N))  # type: ignore[no-untyped-call]
    return read[0] if len(read) == 1 else torch.cat([y_BHTC.transpose(1, 2) for y_BHTC in read]).transpose(1, 2)


class _BlockAttention(torch.autograd.Function):
    """Attention by blocks of queries, each over keys from the first it sees to its own end, in float32; Z is sequence and head.

    N blocks of t positions are the outermost axis of all results: products of many small matrices are only made in one call, and
    shared out over the threads, when they are written to contiguous memory.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, q_BHTC: Tensor, k_BHTC: Tensor, v_BHTC: Tensor, mask_B1TT: Tensor | None, first_N: list[int]) -> Tensor:
        q_ZTC, k_ZTC, v_ZTC = (t.flatten(0, 1) for t in (q_BHTC, k_BHTC, v_BHTC))
        y_NZtC = _empty_blocks(q_ZTC)
        ahead_tt = torch.full((_QUERY_BLOCK, _QUERY_BLOCK), float("-inf")).triu(1)
        probabilities = []
        for i, (block, first) in enumerate(zip(_blocks(q_ZTC), first_N, strict=True)):
            keys = slice(first * _QUERY_BLOCK, block.stop)
            p_Zts = q_ZTC.new_empty(len(q_ZTC), _QUERY_BLOCK, keys.stop - keys.start)
            torch.baddbmm(p_Zts, q_ZTC[:, block], k_ZTC[:, keys].mT, beta=0, alpha=q_ZTC.shape[2] ** -0.5, out=p_Zts)
            if mask_B1TT is None:
                p_Zts[:, :, -_QUERY_BLOCK:] += ahead_tt
            else:
                hidden_B1ts = ~mask_B1TT[:, :, block, keys]
                p_Zts.view(len(mask_B1TT), -1, *p_Zts.shape[1:]).masked_fill_(hidden_B1ts, float("-inf"))
            torch.softmax(p_Zts, dim=-1, out=p_Zts)
            torch.bmm(p_Zts, v_ZTC[:, keys], out=y_NZtC[i])
            probabilities.append(p_Zts)
        y_BHTC = _join(y_NZtC, q_BHTC)
        ctx.save_for_backward(q_ZTC, k_ZTC, v_ZTC, y_BHTC, *probabilities)
        return y_BHTC

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q_ZTC, k_ZTC, v_ZTC, y_BHTC, *probabilities = ctx.saved_tensors
        dy_ZTC, scale = grads[0].flatten(0, 1), q_ZTC.shape[2] ** -0.5
        # The softmax's gradient is p·(dp - Σ p·dp), and that sum is y·dy (Dao et al. 2022, FlashAttention, appendix B).
        sum_ZT1 = (y_BHTC * grads[0]).sum(-1, keepdim=True).flatten(0, 1)
        dq_NZtC, dk_NZtC, dv_NZtC, blocks = *(_empty_blocks(q_ZTC) for _ in range(3)), _blocks(q_ZTC)
        for i, (block, p_Zts) in enumerate(zip(blocks, probabilities, strict=True)):
            keys = slice(block.stop - p_Zts.shape[2], block.stop)
            q_ZtC, dy_ZtC = q_ZTC[:, block], dy_ZTC[:, block]
            ds_Zts = torch.bmm(dy_ZtC, v_ZTC[:, keys].mT).sub_(sum_ZT1[:, block]).mul_(p_Zts)
            torch.baddbmm(dq_NZtC[i], ds_Zts, k_ZTC[:, keys], beta=0, alpha=scale, out=dq_NZtC[i])
            for j, p_Ztt, ds_Ztt in zip(
                range(keys.start // _QUERY_BLOCK, i + 1),
                torch.split(p_Zts, _QUERY_BLOCK, 2),
                torch.split(ds_Zts, _QUERY_BLOCK, 2),
                strict=True,
            ):
                dv_NZtC[j].baddbmm_(p_Ztt.mT, dy_ZtC, beta=min(1, i - j))
                dk_NZtC[j].baddbmm_(ds_Ztt.mT, q_ZtC, beta=min(1, i - j), alpha=scale)
        return _join(dq_NZtC, y_BHTC), _join(dk_NZtC, y_BHTC), _join(dv_NZtC, y_BHTC), None, None


def _blocks(x_ZTC: Tensor) -> list[slice]:
    return [slice(start, start + _QUERY_BLOCK) for start in range(0, x_ZTC.shape[1], _QUERY_BLOCK)]


def _empty_blocks(x_ZTC: Tensor) -> Tensor:
    return x_ZTC.new_empty(x_ZTC.shape[1] // _QUERY_BLOCK, len(x_ZTC), _QUERY_BLOCK, x_ZTC.shape[2])


def _join(x_NZtC: Tensor, like_BHTC: Tensor) -> Tensor:
    """Put blocks together as (B, H, T, C), with the heads innermost in memory as the linear layers around expect them."""
    batch, heads, tokens, channels = like_BHTC.shape
    x_NBHtC = x_NZtC.view(-1, batch, heads, _QUERY_BLOCK, channels)
    return x_NBHtC.permute(1, 0, 3, 2, 4).reshape(batch, tokens, heads, channels).transpose(1, 2)
