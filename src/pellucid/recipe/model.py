"""The decoder's section. What differs between model families is data in `presets/*.yaml`, never a branch in code."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = ["ModelConfig"]


class ModelConfig(Section):
    """Shape and options of one decoder. `vocab_tokens` is what embedding and head hold, padding included."""

    vocab_tokens: int = Field(ge=1, description="Rows of embedding and head; 0 is not allowed, padding is included.")
    context_tokens: int = Field(ge=1, description="Longest sequence the model is made for.")
    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1, description="Heads of keys and values; fewer than heads means grouped-query attention.")
    mlp_hidden: int = Field(ge=1)
    norm: Literal["layernorm", "rmsnorm"]
    norm_bias: bool = Field(description="LayerNorm only: learned bias in every norm.")
    norm_eps: float = Field(1e-5, gt=0)
    rotary_frac: float = Field(ge=0, le=1, description="Share of each head's channels that is rotated (half-split layout).")
    rotary_base: float = Field(10_000.0, gt=1)
    qkv_bias: bool
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
