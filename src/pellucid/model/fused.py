"""Linear layers and attention as a CPU computes them fastest in float32; plain torch everywhere else.

oneDNN's products beat the ones that `F.linear` calls, and attention in blocks of queries skips what the causal mask hides in the
backward pass too; `benchmarks/cpu_pretrain.py` says what this gains. Values and gradients equal the plain ones to rounding.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.tensor import DTensor

__all__ = ["attention", "linear", "product"]

_FEWEST_ROWS = 64
"""Below this, as in decoding, plain products are as fast and have less to set up."""

_QUERY_BLOCK = 64
_LONGEST = 2048
"""Block attention keeps its probabilities for the backward pass, T·T/2 a head; longer sequences recompute them, as SDPA does."""

# Not a public operator, though the one that torch's own compiler calls; without it everything falls back to F.linear.
_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def _many_on_cpu(x: Tensor, rows: int) -> bool:
    return x.device.type == "cpu" and rows >= _FEWEST_ROWS and not torch.compiler.is_compiling()


def _fast(x: Tensor, rows: int) -> bool:
    return _onednn is not None and x.dtype == torch.float32 and _many_on_cpu(x, rows) and not torch.is_autocast_enabled("cpu")


def product(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Return x · weightᵀ + bias without gradients. `weight_OI` may be a transposed view."""
    if not _fast(x_NI, x_NI.shape[0]):
        return F.linear(x_NI, weight_OI, bias_O)
    assert _onednn is not None
    return cast(Tensor, _onednn(x_NI, weight_OI, bias_O, "none", [], ""))


def linear(x_BTI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Return x · weightᵀ + bias, as `F.linear`; of weights that are cut over ranks, what this rank's part gives."""
    if isinstance(weight_OI, DTensor):
        weight_OI, bias_O = weight_OI.to_local(), bias_O.to_local() if isinstance(bias_O, DTensor) else None
    if not _fast(x_BTI, x_BTI.numel() // x_BTI.shape[-1]):
        return F.linear(x_BTI, weight_OI, bias_O)
    result: Tensor = _Linear.apply(x_BTI.reshape(-1, x_BTI.shape[-1]), weight_OI, bias_O)  # type: ignore[no-untyped-call]
    return result.view(*x_BTI.shape[:-1], -1)


def attention(q_BHTC: Tensor, k_BKSC: Tensor, v_BKSC: Tensor, mask_B1TS: Tensor | None, causal: bool) -> Tensor:
    """Return what every head reads, (B, H, T, C): softmax(q·kᵀ/√C)·v over the keys that the mask allows, causal ones by default.

    `mask_B1TS` is True where a query may look, and must not look ahead when T = S; K divides H (grouped queries).
    """
    tokens, groups = q_BHTC.shape[2], q_BHTC.shape[1] // k_BKSC.shape[1]
    lower = causal or (mask_B1TS is not None and tokens == k_BKSC.shape[2])
    exact = q_BHTC.dtype == torch.float32 or torch.is_autocast_enabled("cpu")
    fits = tokens <= _LONGEST and tokens % _QUERY_BLOCK == 0 and _many_on_cpu(q_BHTC, tokens)
    if not (fits and lower and exact and torch.is_grad_enabled()):
        return F.scaled_dot_product_attention(q_BHTC, k_BKSC, v_BKSC, attn_mask=mask_B1TS, is_causal=causal, enable_gqa=groups > 1)
    if groups > 1:
        k_BKSC, v_BKSC = (t.repeat_interleave(groups, dim=1) for t in (k_BKSC, v_BKSC))
    y_BHTC: Tensor = _BlockAttention.apply(q_BHTC, k_BKSC, v_BKSC, mask_B1TS)  # type: ignore[no-untyped-call]
    return y_BHTC


class _Linear(torch.autograd.Function):
    """The gradient of the weight is a product that sums over many rows, where torch's own is the faster one."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_NI, weight_OI)
        return product(x_NI, weight_OI, bias_O)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, weight_OI = ctx.saved_tensors
        dy_NO, (need_x, need_weight, need_bias) = grads[0], ctx.needs_input_grad
        dx_NI = product(dy_NO, weight_OI.T) if need_x else None
        return dx_NI, dy_NO.T @ x_NI if need_weight else None, dy_NO.sum(0) if need_bias else None


class _BlockAttention(torch.autograd.Function):
    """Attention by blocks of queries, each over the keys up to its own end, in float32; Z is sequence and head together.

    N blocks of t positions are the outermost axis of all results: products of many small matrices are only made in one call, and
    shared out over the threads, when they are written to contiguous memory.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, q_BHTC: Tensor, k_BHTC: Tensor, v_BHTC: Tensor, mask_B1TT: Tensor | None) -> Tensor:
        q_ZTC, k_ZTC, v_ZTC = (t.flatten(0, 1) for t in (q_BHTC, k_BHTC, v_BHTC))
        y_NZtC, blocks = _empty_blocks(q_ZTC), _blocks(q_ZTC)
        ahead_tt = torch.full((_QUERY_BLOCK, _QUERY_BLOCK), float("-inf")).triu(1)
        probabilities = []
        for i, block in enumerate(blocks):
            p_Zts = q_ZTC.new_empty(len(q_ZTC), _QUERY_BLOCK, block.stop)
            torch.baddbmm(p_Zts, q_ZTC[:, block], k_ZTC[:, : block.stop].mT, beta=0, alpha=q_ZTC.shape[2] ** -0.5, out=p_Zts)
            if mask_B1TT is None:
                p_Zts[:, :, block] += ahead_tt
            else:
                hidden_B1ts = ~mask_B1TT[:, :, block, : block.stop]
                p_Zts.view(len(mask_B1TT), -1, *p_Zts.shape[1:]).masked_fill_(hidden_B1ts, float("-inf"))
            torch.softmax(p_Zts, dim=-1, out=p_Zts)
            torch.bmm(p_Zts, v_ZTC[:, : block.stop], out=y_NZtC[i])
            probabilities.append(p_Zts)
        y_BHTC = _join(y_NZtC, q_BHTC)
        ctx.save_for_backward(q_ZTC, k_ZTC, v_ZTC, y_BHTC, *probabilities)
        return y_BHTC

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q_ZTC, k_ZTC, v_ZTC, y_BHTC, *probabilities = ctx.saved_tensors
        dy_ZTC, scale = grads[0].flatten(0, 1), q_ZTC.shape[2] ** -0.5
        # The softmax's gradient is p·(dp - Σ p·dp), and that sum is y·dy (Dao et al. 2022, FlashAttention, appendix B).
        sum_ZT1 = (y_BHTC * grads[0]).sum(-1, keepdim=True).flatten(0, 1)
        dq_NZtC, dk_NZtC, dv_NZtC, blocks = *(_empty_blocks(q_ZTC) for _ in range(3)), _blocks(q_ZTC)
        for i, (block, p_Zts) in enumerate(zip(blocks, probabilities, strict=True)):
            q_ZtC, dy_ZtC = q_ZTC[:, block], dy_ZTC[:, block]
            ds_Zts = torch.bmm(dy_ZtC, v_ZTC[:, : block.stop].mT).sub_(sum_ZT1[:, block]).mul_(p_Zts)
            torch.baddbmm(dq_NZtC[i], ds_Zts, k_ZTC[:, : block.stop], beta=0, alpha=scale, out=dq_NZtC[i])
            for j, keys in enumerate(blocks[: i + 1]):
                dv_NZtC[j].baddbmm_(p_Zts[:, :, keys].mT, dy_ZtC, beta=min(1, i - j))
                dk_NZtC[j].baddbmm_(ds_Zts[:, :, keys].mT, q_ZtC, beta=min(1, i - j), alpha=scale)
        return _join(dq_NZtC, y_BHTC), _join(dk_NZtC, y_BHTC), _join(dv_NZtC, y_BHTC), None


def _blocks(x_ZTC: Tensor) -> list[slice]:
    return [slice(start, start + _QUERY_BLOCK) for start in range(0, x_ZTC.shape[1], _QUERY_BLOCK)]


def _empty_blocks(x_ZTC: Tensor) -> Tensor:
    return x_ZTC.new_empty(x_ZTC.shape[1] // _QUERY_BLOCK, len(x_ZTC), _QUERY_BLOCK, x_ZTC.shape[2])


def _join(x_NZtC: Tensor, like_BHTC: Tensor) -> Tensor:
    """Put blocks together as (B, H, T, C), with the heads innermost in memory as the linear layers around expect them."""
    batch, heads, tokens, channels = like_BHTC.shape
    x_NBHtC = x_NZtC.view(-1, batch, heads, _QUERY_BLOCK, channels)
    return x_NBHtC.permute(1, 0, 3, 2, 4).reshape(batch, tokens, heads, channels).transpose(1, 2)
