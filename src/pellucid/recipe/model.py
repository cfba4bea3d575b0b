"""The decoder's section. What differs between model families is data in `presets/*.yaml`, never a branch in code."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = ["MOST", "ModelConfig"]

# Far above any model that there is, and low enough that a shape alone costs neither memory nor time, whoever wrote it.
MOST = {"vocab_tokens": 2**26, "context_tokens": 2**24, "layers": 2048, "hidden": 2**20, "mlp_hidden": 2**24}


class ModelConfig(Section):
    """Shape and options of one decoder. `vocab_tokens` is what embedding and head hold, padding included."""

    vocab_tokens: int = Field(
        ge=1, le=MOST["vocab_tokens"], description="Rows of embedding and head; 0 is not allowed, padding is included."
    )
    context_tokens: int = Field(ge=1, le=MOST["context_tokens"], description="Longest sequence the model is made for.")
    layers: int = Field(ge=1, le=MOST["layers"], description="Decoder blocks, L.")
    hidden: int = Field(ge=1, le=MOST["hidden"], description="Width of the residual stream, D; a multiple of heads.")
    heads: int = Field(ge=1, le=65_536, description="Query heads, H.")
    kv_heads: int = Field(ge=1, le=65_536, description="Heads of keys and values; fewer than heads means grouped-query attention.")
    mlp_hidden: int = Field(ge=1, le=MOST["mlp_hidden"], description="Width inside the gated MLP (SwiGLU), F.")
    norm: Literal["layernorm", "rmsnorm"] = Field(description="Norm before attention, before the MLP and before the head.")
    norm_bias: bool = Field(description="LayerNorm only: learned bias in every norm.")
    norm_eps: float = Field(1e-5, gt=0, description="Added to the variance inside every norm.")
    rotary_frac: float = Field(ge=0, le=1, description="Share of each head's channels that is rotated (half-split layout).")
    rotary_base: float = Field(10_000.0, gt=1, description="Base of the rotary frequencies.")
    qkv_bias: bool = Field(description="Learned bias on queries, keys and values; no other matrix has one.")
    qk_norm: bool = Field(
        False,
        description="Norm of each head's queries and keys before rotation. rmsnorm: one weight for all heads (Qwen3); "
        "layernorm: a weight for each head, without bias (StableLM).",
    )
    tied_head: bool = Field(description="The head shares its matrix with the embedding.")
    init_std: float = Field(
        0.02, gt=0, description="Matrices start from a normal distribution; outputs are scaled by 1/sqrt(2·layers)."
    )

    @property
    def head_channels(self) -> int:
        """Channels of one head, C."""
        return self.hidden // self.heads

    @property
    def rotary_channels(self) -> int:
        """Channels of each head that are rotated; even."""
        return int(self.head_channels * self.rotary_frac)
