"""Floating-point operations of training, by the two conventions that reports use, and what each leaves in or out."""

from pellucid.plan.parameters import count_adapter, count_parameters
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.tuning import AdapterConfig

__all__ = ["FORMULAS", "flops_per_token", "recomputed_flops_per_token"]

FORMULAS = {
    "six_n": "6·N, N = all parameters, embedding counted (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)",
    "with_attention": "6·N + 12·L·H·C·T: as above, and attention scores over the full T by T square "
    "(Chowdhery et al. 2022, arXiv 2204.02311, appendix B)",
    "matmul": "6·M + 6·L·H·C·T, M = parameters multiplied with (an untied embedding is looked up, not multiplied), "
    "attention below the diagonal only: the work that cannot be avoided",
}


def flops_per_token(config: ModelConfig, seq_tokens: int, adapter: AdapterConfig | None = None) -> dict[str, int]:
    """Return FLOPs of one token's forward and backward pass, keyed as `FORMULAS`; recomputation is not counted.

    With an adapter the weights below it have no gradient of their own, so 4 stands in place of 6 for them; the adapter's n
    parameters add 6·n.
    """
    parameters = count_parameters(config)
    each, added = (6, 0) if adapter is None else (4, 6 * count_adapter(config, adapter))
    scores = config.layers * config.heads * config.head_channels * seq_tokens
    return {
        "six_n": each * parameters.total + added,
        "with_attention": each * parameters.total + added + 12 * scores,
        "matmul": each * parameters.multiplied + added + 6 * scores,
    }


def recomputed_flops_per_token(config: ModelConfig, seq_tokens: int) -> int:
    """Return the FLOPs per token that activation checkpointing by block adds: the blocks' forward pass, as `matmul` counts it."""
    return 2 * count_parameters(config).block_matrices + 2 * config.layers * config.heads * config.head_channels * seq_tokens
