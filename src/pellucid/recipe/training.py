"""Sections of one training stage: optimizer, schedule, checkpoints, and the stage itself."""

import math
from typing import Literal

from pydantic import Field

from pellucid.recipe.curves import CurvesConfig
from pellucid.recipe.section import Section
from pellucid.recipe.tuning import AdapterConfig, HeldoutConfig, PreferenceConfig, SelfKnowledgeConfig

__all__ = [
    "ON_PAIRS",
    "WITH_REFERENCE",
    "CheckpointConfig",
    "OptimizerConfig",
    "ParallelConfig",
    "SamplesConfig",
    "ScheduleConfig",
    "SpikesConfig",
    "TrainStageConfig",
]

Objective = Literal["next_token", "sft", "dpo", "ipo", "orpo", "self_knowledge"]

ON_PAIRS = frozenset({"dpo", "ipo", "orpo"})
"""Objectives that learn from preference pairs."""

WITH_REFERENCE = frozenset({"dpo", "ipo"})
"""Objectives that compare the model with what it was when the stage began."""


class OptimizerConfig(Section):
    """AdamW, or Muon for the blocks' matrices with AdamW for embedding, head, norms and biases."""

    kind: Literal["adamw", "muon"] = Field("adamw", description="muon: orthogonalised updates for the blocks' matrices.")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW: decay of the mean of gradients.")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW: decay of the mean of squared gradients.")
    eps: float = Field(1e-8, gt=0, description="AdamW: added to the root in the denominator.")
    weight_decay: float = Field(0.1, ge=0, description="On matrices only: never on norms and biases.")
    clip_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this global norm.")
    muon_lr_ratio: float = Field(1.0, gt=0, description="Muon: the matrices' rate as a multiple of the schedule's.")
    muon_momentum: float = Field(0.95, ge=0, lt=1, description="Muon: decay of the momentum.")
    embedding_lr_ratio: float = Field(
        1.0, gt=0, description="The embedding's rate as a multiple of the schedule's; a tied head shares it."
    )
    head_lr_ratio: float = Field(1.0, gt=0, description="The untied head's rate as a multiple of the schedule's.")


class ScheduleConfig(Section):
    """Learning rate by step (Stable LM 2 report, Eq. 1 and Appendix B): warm-up, a curve, a linear cool-down."""

    kind: Literal["cosine", "rsqrt", "hyb", "hyb2", "linear", "constant"] = Field(
        "cosine", description="Curve after warm-up; hyb is Eq. 1 of the Stable LM 2 report, hyb2 has its period doubled."
    )
    peak_lr: float = Field(gt=0, description="M of Eq. 1: the rate at the end of warm-up.")
    min_lr: float = Field(0.0, ge=0, description="m of Eq. 1: where a full cosine would end.")
    warmup_steps: int = Field(0, ge=0, description="First steps, linearly up to peak_lr.")
    warmup_frac: float | None = Field(None, ge=0, lt=1, description="The same as a share of the stage's steps, rounded up.")
    cooldown_steps: int = Field(0, ge=0, description="Last steps, linearly to zero.")
    cooldown_frac: float | None = Field(None, ge=0, lt=1, description="The same as a share of the stage's steps, rounded up.")
    period_steps: int | None = Field(None, ge=1, description="N of Eq. 1; the stage's own length when not given.")
    rsqrt_flat_steps: int = Field(1000, ge=1, description="k of 1/sqrt(max(i, k)).")


class CheckpointConfig(Section):
    """When training state is saved and what is kept."""

    every_steps: int = Field(1000, ge=1, description="Steps between two checkpoints.")
    keep_last: int = Field(2, ge=1, description="The newest good checkpoints that are kept.")
    keep_every_steps: int | None = Field(None, ge=1, description="Checkpoints at multiples of this are kept for good.")
    memory_every_steps: int = Field(
        0,
        ge=0,
        description="Steps between two snapshots in RAM, here and on another host, for a run that loses a process. 0: none.",
    )


class SamplesConfig(Section):
    """Text that is generated during training, so that one can read along."""

    every_steps: int = Field(0, ge=0, description="0 turns samples off.")
    prompts: tuple[str, ...] = Field(("The",), description="Beginnings that the model continues.")
    new_tokens: int = Field(40, ge=1, description="Tokens generated after each prompt.")


class ParallelConfig(Section):
    """How several processes share a stage. What is computed stays the same, so a stage may be continued with other values."""

    shard: Literal["none", "zero1", "full"] = Field(
        "none", description="Over ranks: nothing; optimizer state and gradients (ZeRO 1 and 2); parameters too (ZeRO 3)."
    )
    tensor_ways: int = Field(1, ge=1, description="Tensor parallelism: so many neighbouring ranks share each block's matrices.")
    cpu_offload: bool = Field(False, description="Keep parameters, gradients and optimizer state in the hosts' memory.")


class SpikesConfig(Section):
    """Loss spikes: go back to a checkpoint before one and pass over the batches around it (PaLM, arXiv 2204.02311, 5.1)."""

    deviations: float = Field(
        0.0, ge=0, description="A loss is high this many robust standard deviations above the usual; 0 turns it off, 8 is a start."
    )
    window_steps: int = Field(100, ge=5, description="What is usual: the losses of so many steps before.")
    patience_steps: int = Field(3, ge=1, description="High losses in a row that make a spike; fewer are noise.")
    max_rollbacks: int = Field(5, ge=1, description="Spikes after which training stops instead of going back again.")


class TrainStageConfig(Section):
    """One training stage. Stages run in order; each begins with the weights of the one before."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the stage's folder in the run.")
    init_from: str | None = Field(
        None,
        description="First weights, instead of the stage before: a Hugging Face folder, a GGUF file, a run or a checkpoint, "
        "relative to the recipe.",
    )
    objective: Objective = Field(
        "next_token",
        description="What the stage learns: text, the answers of conversations (sft), which of two answers is better (dpo, ipo, "
        "orpo), or what the model is (self_knowledge).",
    )
    length_tokens: int = Field(ge=1, description="Tokens to train on; rounded up to whole steps.")
    length_epochs: float | None = Field(
        None, gt=0, description="Instead of length_tokens: how often each conversation or pair is read, to the last one."
    )
    batch_tokens: int = Field(
        ge=1, description="Tokens of one optimizer step, over all ranks and micro-steps; or give batch_seqs, its sequences."
    )
    seq_tokens: int = Field(ge=2, description="Tokens of one training sequence; at most model.context_tokens.")
    micro_seqs: int = Field(ge=1, description="Sequences of one forward pass on one device.")
    attention: Literal["causal", "document", "cross_lingual"] = Field(
        "causal",
        description="'document': attention and positions restart at each document. 'cross_lingual': sequences are put together "
        "from several languages, and a document sees itself and earlier documents of other languages.",
    )
    lingual_parts: int = Field(
        2, ge=2, description="cross_lingual only: a sequence is made of so many windows of seq_tokens / lingual_parts tokens."
    )
    packing: Literal["windows", "best_fit", "none"] = Field(
        "windows",
        description="'windows': documents in a row, cut every seq_tokens. 'best_fit': whole documents or conversations, put "
        "together so that they fit, and padding where none does (arXiv 2404.10830). 'none': each conversation or pair by itself.",
    )
    conversations: tuple[str, ...] | None = Field(
        None, description="Names of the conversations that the stage learns from; all that fit its objective when not given."
    )
    z_loss: float = Field(0.0, ge=0, description="Weight of the mean squared log of the softmax normaliser.")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on a GPU, fp32 on a CPU.")
    compile: Literal["auto", "on", "off"] = Field("auto", description="torch.compile; auto: where it pays.")
    activation_checkpointing: Literal["none", "block", "selective"] = Field(
        "none",
        description="What the backward pass computes again instead of keeping it. selective: all but the outputs of linear layers "
        "and fused attention; block: all but each block's input, for about a third more work.",
    )
    weights: dict[str, float] | None = Field(
        None, description="Source weights of this stage, where they differ from the sources' own."
    )
    epochs: dict[str, float] | None = Field(
        None, description="Sources that are read so often over this stage, instead of by weight or by the sources' own epochs."
    )
    temperature: float | None = Field(None, gt=0, description="mixture.temperature of this stage, where it differs.")
    exact: bool = Field(
        False, description="Add gradients up in fixed point: the same bits on any number of ranks. Needs parallel.shard: none."
    )
    parallel: ParallelConfig = Field(ParallelConfig(), description="How several processes share the work.")
    max_bad_steps: int = Field(5, ge=1, description="Non-finite steps in a row before training stops.")
    spikes: SpikesConfig = Field(SpikesConfig(), description="What to do when the loss jumps.")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="How gradients become updates.")
    schedule: ScheduleConfig = Field(description="Learning rate by step.")
    checkpoint: CheckpointConfig = Field(CheckpointConfig(), description="When training state is saved.")
    samples: SamplesConfig = Field(SamplesConfig(), description="Text generated on the way.")
    heldout: HeldoutConfig = Field(HeldoutConfig(), description="Held-out conversations or pairs, scored on the way.")
    curves: CurvesConfig | None = Field(None, description="Small tasks scored on the way: capabilities over training.")
    adapter: AdapterConfig | None = Field(None, description="Train low-rank adapters instead of the weights themselves.")
    preference: PreferenceConfig = Field(PreferenceConfig(), description="dpo, ipo and orpo: how pairs become a loss.")
    self_knowledge: SelfKnowledgeConfig | None = Field(None, description="self_knowledge only: how its data are made.")

    @property
    def learns_from_text(self) -> bool:
        """Whether the stage reads token shards; the others read conversations, pairs, or what they generate themselves."""
        return self.objective == "next_token"

    @property
    def learns_from_pairs(self) -> bool:
        """Whether one example is two sequences."""
        return self.objective in ON_PAIRS

    @property
    def rows_per_example(self) -> int:
        """Rows of a batch that one of its `batch_seqs` is: a pair counts as one and is two."""
        return 2 if self.learns_from_pairs else 1

    def lasting(self, steps: int) -> "TrainStageConfig":
        """Return the stage with this many steps, its warm-up and cool-down worked out."""
        shares = {"warmup_steps": self.schedule.warmup_frac, "cooldown_steps": self.schedule.cooldown_frac}
        parts = {name: math.ceil(share * steps) for name, share in shares.items() if share is not None}
        return self.model_copy(
            update={"length_tokens": steps * self.batch_tokens, "schedule": self.schedule.model_copy(update=parts)}
        )

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the stage."""
        return -(-self.length_tokens // self.batch_tokens)

    @property
    def batch_seqs(self) -> int:
        """Sequences of one optimizer step."""
        return self.batch_tokens // self.seq_tokens
