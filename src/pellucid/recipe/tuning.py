"""Sections of stages that learn from conversations: adapters, preferences, self-knowledge, held-out examples."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = ["AdapterConfig", "HeldoutConfig", "PreferenceConfig", "SelfKnowledgeConfig", "Target"]

Target = Literal["query", "key", "value", "output", "gate", "up", "down"]


class AdapterConfig(Section):
    """Low-rank adapters: the weights stay as they are, beside each matrix a product of two small ones is learnt.

    LoRA (Hu et al. 2021, arXiv 2106.09685); with `quantize` the weights are kept in few bits (QLoRA, arXiv 2305.14314).
    """

    rank: int = Field(16, ge=1, description="Inner width r of the two small matrices.")
    alpha: float = Field(32.0, gt=0, description="Their product is scaled by alpha / rank.")
    rank_stabilized: bool = Field(False, description="Scale by alpha / sqrt(rank) instead (arXiv 2312.03732).")
    targets: tuple[Target, ...] = Field(
        ("query", "key", "value", "output", "gate", "up", "down"), min_length=1, description="Which matrices of each block."
    )
    quantize: Literal["none", "int8", "nf4"] = Field("none", description="How the frozen matrices are kept in memory.")
    init_from: str | None = Field(None, description="Go on from an adapter in peft's format, a folder relative to the recipe.")


class PreferenceConfig(Section):
    """What the preference objectives have in common."""

    beta: float = Field(0.01, gt=0, description="How far the model may go from the reference; the report lowered it to 0.01.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="dpo only: share of pairs taken to be the wrong way round (cDPO)."
    )
    length_normalised: bool = Field(False, description="dpo: log ratios per token of the answer, as ipo and orpo always take them.")


class SelfKnowledgeConfig(Section):
    """Data that the model writes itself: what it is, and what it is not (Stable LM 2 report, section 3.3)."""

    facts: str = Field(description="YAML file with the model's facts and the questions that ask for them, relative to the recipe.")
    first_messages: int = Field(10_000, ge=1, description="Different first messages that the base model makes up.")
    message_tokens: int = Field(64, ge=4, description="A first message has at most this many tokens.")
    answer_tokens: int = Field(256, ge=4, description="An answer has at most this many tokens.")
    temperature: float = Field(1.0, gt=0, description="Of first messages and answers alike.")
    top_p: float = Field(0.95, gt=0, le=1, description="Of first messages and answers alike.")
    messages_from: str | None = Field(
        None, description="Training stage whose model makes up first messages; the first one if null."
    )
    shot_repeats: int = Field(1, ge=0, description="How often the facts' own questions and answers are positives as well.")
    negative_weight: float = Field(0.1, gt=0, le=1, description="Weight of negatives in the loss (OpenChat, arXiv 2309.11235).")
    negative_token: str = Field("<|reg0|>", description="Special token in place of the assistant's name in negatives.")


class HeldoutConfig(Section):
    """Held-out examples scored with the stage's own objective, before its first step, on the way and after its last."""

    every_steps: int = Field(0, ge=0, description="0: only before and after.")
    max_examples: int = Field(256, ge=1, description="Score at most this many of each source.")
