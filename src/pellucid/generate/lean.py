"""Blocks that read a token with few operations, each of which costs a CPU time of its own beside the weights that are to be read.

Queries, keys and values are one product, gate and up another. Queries and keys are turned together, as complex numbers, for which
the two channels of a pair are made neighbours: the same order in queries and in keys changes none of their products.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.kernels.attention import attention
from pellucid.kernels.slots import SlotCache
from pellucid.model.decoder import Attending, Attention, Block, Decoder

__all__ = ["Product", "lean_blocks", "lean_norm"]

Product = Callable[[Tensor], Tensor]
"""x_BTI → y_BTO."""
MakeProduct = Callable[[Tensor, Tensor | None], Product]
"""A matrix (O, I) and its bias → their product with an input."""


def lean_blocks(model: Decoder, make: MakeProduct) -> nn.ModuleList:
    """Return blocks that compute what the model's do, to rounding, with products that `make` makes of copies of the weights."""
    turns = _Turns()
    return nn.ModuleList(_LeanBlock(block, model, make, turns) for block in model.blocks if isinstance(block, Block))


def lean_norm(norm: nn.Module) -> nn.Module:
    """Return a norm that computes what this one does, to rounding, with a copy of its weights."""
    return _RmsNorm(norm) if isinstance(norm, nn.RMSNorm) else deepcopy(norm)


class _RmsNorm(nn.Module):
    """RMSNorm in five operations; torch's own is a dozen on a CPU."""

    def __init__(self, norm: nn.RMSNorm) -> None:
        super().__init__()
        self.weight = nn.Parameter(norm.weight.detach().float().clone(), requires_grad=False)
        self._eps: Tensor
        self.register_buffer("_eps", torch.tensor(torch.finfo(torch.float32).eps if norm.eps is None else norm.eps))

    def forward(self, x_BTD: Tensor) -> Tensor:
        size_BT1 = torch.linalg.vector_norm(x_BTD, dim=-1, keepdim=True)
        return (x_BTD * torch.addcmul(self._eps, size_BT1, size_BT1, value=1 / x_BTD.shape[-1]).rsqrt_()).mul_(self.weight)


class _Turns:
    """The turns of all positions as complex numbers, made by the first layer of a pass."""

    def __init__(self) -> None:
        self._cos_B1TR: Tensor | None = None
        self._turns_BT1R = torch.empty(0)

    def of(self, attending: Attending) -> Tensor:
        if attending.cos_B1TR is not self._cos_B1TR:
            self._turns_BT1R = torch.complex(attending.cos_B1TR, attending.sin_B1TR).transpose(1, 2)
            self._cos_B1TR = attending.cos_B1TR
        return self._turns_BT1R


class _LeanBlock(nn.Module):
    def __init__(self, block: Block, model: Decoder, make: MakeProduct, turns: _Turns) -> None:
        super().__init__()
        # Norms of its own, so that nothing done to them reaches a model in training.
        self.attention_norm, self.mlp_norm = lean_norm(block.attention_norm), lean_norm(block.mlp_norm)
        self._attention = _LeanAttention(block.attention, model, make, turns)
        mlp = block.mlp
        self._gate_up = make(torch.cat((mlp.gate.weight.detach(), mlp.up.weight.detach())), None)
        self._down = make(mlp.down.weight.detach(), None)

    def forward(self, x_BTD: Tensor, attending: Attending) -> Tensor:
        x_BTD = x_BTD + self._attention(self.attention_norm(x_BTD), attending)
        gate_BTF, up_BTF = self._gate_up(self.mlp_norm(x_BTD)).chunk(2, dim=-1)
        return x_BTD + self._down(F.silu(gate_BTF) * up_BTF)


class _LeanAttention(nn.Module):
    def __init__(self, plain: Attention, model: Decoder, make: MakeProduct, turns: _Turns) -> None:
        super().__init__()
        config = model.config
        self._layer, self._turns = plain.layer, turns
        self._heads, self._kv_heads, self._channels = config.heads, config.kv_heads, config.head_channels
        self._turned = config.rotary_channels
        half = self._turned // 2
        pairs = [channel for i in range(half) for channel in (i, i + half)]
        order_C = torch.tensor([*pairs, *range(self._turned, self._channels)])

        def reordered(x: Tensor) -> Tensor:
            return torch.unflatten(x.detach(), 0, (-1, self._channels))[:, order_C].flatten(0, 1)

        parts = (plain.query, plain.key, plain.value)
        weight_OI = torch.cat((reordered(parts[0].weight), reordered(parts[1].weight), parts[2].weight.detach()))
        bias_O = None
        if config.qkv_bias:
            bias_O = torch.cat((reordered(parts[0].bias), reordered(parts[1].bias), parts[2].bias.detach()))
        self._qkv, self._output = make(weight_OI, bias_O), make(plain.output.weight.detach(), None)
        self.query_norm, self.key_norm = deepcopy(plain.query_norm), deepcopy(plain.key_norm)
        for norm in (self.query_norm, self.key_norm):
            if isinstance(norm.weight if config.qk_norm else None, Tensor):
                norm.weight = nn.Parameter(reordered(cast(Tensor, norm.weight)), requires_grad=False)
        self._normed = config.qk_norm

    def forward(self, x_BTD: Tensor, attending: Attending) -> Tensor:
        heads, both = self._heads, self._heads + self._kv_heads
        qkv_BTNC = torch.unflatten(self._qkv(x_BTD), -1, (-1, self._channels))
        qk_BTNC, v_BKTC = qkv_BTNC[:, :, :both], qkv_BTNC[:, :, both:].transpose(1, 2)
        if self._normed:
            qk_BTNC = torch.cat((self.query_norm(qk_BTNC[:, :, :heads]), self.key_norm(qk_BTNC[:, :, heads:])), dim=2)
        qk_BNTC = self._turn(qk_BTNC, attending).transpose(1, 2)
        q_BHTC, k_BKTC = qk_BNTC[:, :heads], qk_BNTC[:, heads:]
        cache = attending.cache
        if isinstance(cache, SlotCache):
            y_BHTC = cache.attend(self._layer, q_BHTC, k_BKTC, v_BKTC)
        else:
            if cache is not None:
                k_BKTC, v_BKTC = cache.extend(self._layer, k_BKTC, v_BKTC)
            y_BHTC = attention(q_BHTC, k_BKTC, v_BKTC, attending.mask_B1TT, attending.causal, attending.documents)
        return self._output(y_BHTC.transpose(1, 2).flatten(2))

    def _turn(self, x_BTNC: Tensor, attending: Attending) -> Tensor:
        if not self._turned:
            return x_BTNC
        whole = self._turned == self._channels
        pairs_BTNR2 = torch.unflatten(x_BTNC if whole else x_BTNC[..., : self._turned].contiguous(), -1, (-1, 2))
        turned_BTNR = torch.view_as_real(torch.view_as_complex(pairs_BTNR2) * self._turns.of(attending)).flatten(3)
        return turned_BTNR if whole else torch.cat((turned_BTNR, x_BTNC[..., self._turned :]), dim=-1)
