"""One decoder for every preset: ids_BT → x_BTD → logits_BTV. What differs between families is data in `ModelConfig`.

Shapes: B sequences, T positions, D hidden, H query heads, K kv heads, C head channels, F MLP hidden, V vocabulary, L layers.
"""

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.core.errors import UsageError
from pellucid.core.seeds import derive_seed
from pellucid.kernels.attention import Documents, attention, document_starts, documents_by_flash
from pellucid.kernels.linear import Linear, linear
from pellucid.kernels.slots import SlotCache
from pellucid.model.cache import KVCache
from pellucid.recipe.model import ModelConfig

__all__ = ["Attending", "Block", "Decoder", "init_weights"]


class Attending(NamedTuple):
    """What all layers of one forward pass share: rotary tables of the positions, and which positions see which."""

    cos_B1TR: Tensor
    sin_B1TR: Tensor
    mask_B1TT: Tensor | None
    """True where a query sees a key, or 0 there and minus infinity elsewhere.

    None means causal, or as `documents` say, or everything for a single new position.
    """
    causal: bool
    documents: Documents | None
    cache: KVCache | SlotCache | None


class Decoder(nn.Module):
    """A decoder-only transformer: pre-norm blocks of causal attention and SwiGLU, rotary positions, tied or untied head.

    Weights mean nothing until `init_weights` or `load_state_dict`. Raises `UsageError` for shapes that do not fit together.
    """

    rotary_cos_TR: Tensor
    rotary_sin_TR: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.embedding = nn.Embedding(config.vocab_tokens, config.hidden)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = _norm(config)
        self.head = None if config.tied_head else nn.Linear(config.hidden, config.vocab_tokens, bias=False)
        cos_TR, sin_TR = _rotary_tables(config)
        self.register_buffer("rotary_cos_TR", cos_TR, persistent=False)
        self.register_buffer("rotary_sin_TR", sin_TR, persistent=False)

    @property
    def head_weight(self) -> Tensor:
        """The head's matrix (V, D): the embedding's own when the head is tied."""
        return self.embedding.weight if self.head is None else self.head.weight

    def forward(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor | None = None,
        documents: Documents | None = None,
        cache: KVCache | SlotCache | None = None,
        mask_B1TS: Tensor | None = None,
    ) -> Tensor:
        """Return x_BTD, the hidden states after the last norm.

        `documents` confine attention to themselves; positions then restart with each of them unless `positions_BT` says otherwise,
        or unless they have languages, of which each document sees the others.
        With `cache`, the ids follow the positions that it holds; with a `SlotCache`, one row holds the pieces that were begun.
        `mask_B1TS`, True (or 0 where it is added to the scores) where a query sees a key, is for rows that hold several sequences
        with a common beginning, without `documents`: `positions_BT` then says where each token stands in its own, below the
        context's length.
        Raises `UsageError` for a sequence longer than the context.
        """
        if isinstance(cache, SlotCache):
            at_1N = cache.position_N[None]
            cos_1NR, sin_1NR = self.rotary_cos_TR[at_1N], self.rotary_sin_TR[at_1N]
            attending = Attending(cos_1NR[:, None], sin_1NR[:, None], None, False, None, cache)
        else:
            attending = self._attending(ids_BT, positions_BT, documents, cache, mask_B1TS)
        x_BTD = self.embedding(ids_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, attending)
        if cache is not None:
            cache.advance(ids_BT.shape[1])
        return cast(Tensor, self.norm(x_BTD))

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Return logits_BTV of hidden states; training goes through `train.loss`, which never holds all of them."""
        return linear(x_BTD, self.head_weight)

    def _attending(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor | None,
        documents: Documents | None,
        cache: KVCache | None,
        mask_B1TT: Tensor | None,
    ) -> Attending:
        tokens, past = ids_BT.shape[1], cache.length if cache is not None else 0
        # A row of several sequences may hold more tokens than any of them has positions.
        if mask_B1TT is None and past + tokens > self.config.context_tokens:
            raise UsageError(
                f"the sequence has {past + tokens} tokens; the model's context_tokens is {self.config.context_tokens}: "
                "shorten it or train a model with a longer context"
            )
        if cache is not None:
            cache.check_room(tokens)
            if documents is not None:
                raise UsageError("documents cannot be combined with a cache: decode one document per sequence")
            if past and tokens > 1 and mask_B1TT is None:
                everything = torch.ones(tokens, past + tokens, dtype=torch.bool, device=ids_BT.device)
                mask_B1TT = everything.tril(past)[None, None]
        if documents is not None:
            if documents.language_BT is not None or not documents_by_flash(self.embedding.weight, self.config.head_channels):
                mask_B1TT = documents.mask()
            if positions_BT is None and documents.positions_restart:
                positions_BT = torch.arange(tokens, device=ids_BT.device) - document_starts(documents.number_BT)
        if positions_BT is None:
            cos_BTR, sin_BTR = (t[None, past : past + tokens] for t in (self.rotary_cos_TR, self.rotary_sin_TR))
        else:
            cos_BTR, sin_BTR = self.rotary_cos_TR[positions_BT], self.rotary_sin_TR[positions_BT]
        causal = mask_B1TT is None and tokens > 1
        return Attending(cos_BTR[:, None], sin_BTR[:, None], mask_B1TT, causal, documents, cache)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = _norm(config)
        self.attention = Attention(config, layer)
        self.mlp_norm = _norm(config)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, attending: Attending) -> Tensor:
        """Return x_BTD after this block."""
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), attending)
        return cast(Tensor, x_BTD + self.mlp(self.mlp_norm(x_BTD)))


class Attention(nn.Module):
    """Causal self-attention with grouped keys and values; the first `rotary_channels` of each head are rotated."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_channels = config.head_channels
        kv_hidden = config.kv_heads * config.head_channels
        self.query = Linear(config.hidden, config.hidden, bias=config.qkv_bias)
        self.key = Linear(config.hidden, kv_hidden, bias=config.qkv_bias)
        self.value = Linear(config.hidden, kv_hidden, bias=config.qkv_bias)
        self.output = Linear(config.hidden, config.hidden, bias=False)
        self.query_norm = _head_norm(config, config.heads)
        self.key_norm = _head_norm(config, config.kv_heads)

    def forward(self, x_BTD: Tensor, attending: Attending) -> Tensor:
        """Return what the heads read, x_BTD."""
        batch, tokens, _ = x_BTD.shape
        q_BTHC, k_BTKC, v_BTKC = (
            part(x_BTD).view(batch, tokens, -1, self.head_channels) for part in (self.query, self.key, self.value)
        )
        q_BHTC = _rotate(self.query_norm(q_BTHC).transpose(1, 2), attending.cos_B1TR, attending.sin_B1TR)
        k_BKTC = _rotate(self.key_norm(k_BTKC).transpose(1, 2), attending.cos_B1TR, attending.sin_B1TR)
        v_BKTC = v_BTKC.transpose(1, 2)
        if isinstance(attending.cache, SlotCache):
            y_BHTC = attending.cache.attend(self.layer, q_BHTC, k_BKTC, v_BKTC)
        else:
            if attending.cache is not None:
                k_BKTC, v_BKTC = attending.cache.extend(self.layer, k_BKTC, v_BKTC)
            y_BHTC = attention(q_BHTC, k_BKTC, v_BKTC, attending.mask_B1TT, attending.causal, attending.documents)
        return cast(Tensor, self.output(y_BHTC.transpose(1, 2).flatten(2)))


class HeadNorm(nn.Module):
    """LayerNorm over the channels of each head, with a weight for each head and no bias.

    The weights of all heads are one vector, so that optimizer, init and sharding take it for what it is: a norm.
    """

    def __init__(self, heads: int, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(heads * channels))

    def forward(self, x_BTHC: Tensor) -> Tensor:
        """Return x_BTHC."""
        return F.layer_norm(x_BTHC, x_BTHC.shape[3:], eps=self.eps) * self.weight.view(x_BTHC.shape[2:])


class SharedHeadNorm(nn.RMSNorm):
    """RMSNorm over the channels of each head, with one weight for all heads."""

    def forward(self, x_BTHC: Tensor) -> Tensor:
        """Return x_BTHC, in the weight's type: under autocast the input has another, for which torch has no fused kernel."""
        return super().forward(x_BTHC.to(self.weight.dtype))


class MLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) · up(x)) (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = Linear(config.hidden, config.mlp_hidden, bias=False)
        self.up = Linear(config.hidden, config.mlp_hidden, bias=False)
        self.down = Linear(config.mlp_hidden, config.hidden, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return x_BTD."""
        return cast(Tensor, self.down(F.silu(self.gate(x_BTD)) * self.up(x_BTD)))


def init_weights(model: Decoder, seed: int) -> None:
    """Fill the weights: matrices normal with `init_std`, norms one, biases zero.

    The two output projections of a block are scaled by 1/sqrt(2·layers), so that the residual stream's variance stays put.
    Each tensor is drawn on the CPU from a seed of its own, made of `seed` and its name: the same on every device, and a tensor
    that is added moves no other.
    """
    config = model.config
    output_std = config.init_std / math.sqrt(2 * config.layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 1:
                parameter.fill_(1.0)
            else:
                std = output_std if name.endswith(("attention.output.weight", "mlp.down.weight")) else config.init_std
                generator = torch.Generator().manual_seed(derive_seed(seed, "init", name))
                parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))
        # A model made on the meta device gets its memory, and so its tables, only now.
        cos_TR, sin_TR = _rotary_tables(config)
        model.rotary_cos_TR.copy_(cos_TR)
        model.rotary_sin_TR.copy_(sin_TR)


def _check(config: ModelConfig) -> None:
    wrong = []
    if config.hidden % config.heads:
        wrong.append(f"hidden {config.hidden} is not a multiple of heads {config.heads}")
    if config.heads % config.kv_heads:
        wrong.append(f"heads {config.heads} is not a multiple of kv_heads {config.kv_heads}")
    if config.rotary_channels % 2:
        wrong.append(f"rotary_frac rotates {config.rotary_channels} of {config.head_channels} channels; must be even")
    if config.norm == "rmsnorm" and config.norm_bias:
        wrong.append("norm_bias is true; an rmsnorm has no bias")
    if wrong:
        raise UsageError("the model's shape does not fit together: " + "; ".join(wrong))


def _norm(config: ModelConfig) -> nn.Module:
    if config.norm == "layernorm":
        return nn.LayerNorm(config.hidden, eps=config.norm_eps, bias=config.norm_bias)
    return nn.RMSNorm(config.hidden, eps=config.norm_eps)


def _head_norm(config: ModelConfig, heads: int) -> nn.Module:
    """The norm of queries or keys (Dehghani et al. 2023, arXiv 2302.05442, section 2), of the kind that goes with `norm`."""
    if not config.qk_norm:
        return nn.Identity()
    if config.norm == "layernorm":
        return HeadNorm(heads, config.head_channels, config.norm_eps)
    return SharedHeadNorm(config.head_channels, eps=config.norm_eps)


def _rotary_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin of position · base^(-2i/R) (Su et al. 2021), each (context_tokens, R/2), in float32."""
    channels = config.rotary_channels
    frequency_R = 1.0 / config.rotary_base ** (torch.arange(0, channels, 2, dtype=torch.float32, device="cpu") / channels)
    angle_TR = torch.arange(config.context_tokens, dtype=torch.float32, device="cpu")[:, None] * frequency_R
    return angle_TR.cos(), angle_TR.sin()


def _rotate(x_BHTC: Tensor, cos_B1TR: Tensor, sin_B1TR: Tensor) -> Tensor:
    """Rotate the first channels, half-split as in GPT-NeoX: channel i turns with channel i + R/2; the others pass."""
    half = cos_B1TR.shape[-1]
    if half == 0:
        return x_BHTC
    a, b, rest = x_BHTC[..., :half], x_BHTC[..., half : 2 * half], x_BHTC[..., 2 * half :]
    cos, sin = cos_B1TR.to(x_BHTC.dtype), sin_B1TR.to(x_BHTC.dtype)
    return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), dim=-1)
