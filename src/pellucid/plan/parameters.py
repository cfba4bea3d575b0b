"""Parameters of the decoder, part by part, from its shape alone."""

from dataclasses import dataclass

from pellucid.recipe.model import ModelConfig
from pellucid.recipe.tuning import AdapterConfig, Target

__all__ = ["ParameterCount", "count_adapter", "count_parameters", "matrix_shapes"]


@dataclass(frozen=True)
class ParameterCount:
    """Learned numbers by part. `head` is 0 when the head shares the embedding's matrix."""

    embedding: int
    attention: int
    mlp: int
    norms: int
    head: int

    @property
    def total(self) -> int:
        """All learned numbers."""
        return self.embedding + self.attention + self.mlp + self.norms + self.head

    @property
    def block_matrices(self) -> int:
        """The parameters of attention and MLP: what Muon updates (the few query, key and value biases are counted with them)."""
        return self.attention + self.mlp

    @property
    def multiplied(self) -> int:
        """Parameters that every token is multiplied with: all but an embedding that is only looked up."""
        return self.total - (self.embedding if self.head else 0)


def count_parameters(config: ModelConfig) -> ParameterCount:
    """Count the decoder's parameters.

    Per block: queries and output D·D, keys and values D·K·C, their biases, gate, up and down D·F, two norms, and with
    `qk_norm` a norm of C for queries and one for keys, or under LayerNorm one for each head; then one last norm.
    """
    kv_channels = config.kv_heads * config.head_channels
    attention = 2 * config.hidden * config.hidden + 2 * config.hidden * kv_channels
    if config.qkv_bias:
        attention += config.hidden + 2 * kv_channels
    norm = config.hidden * (2 if config.norm_bias else 1)
    head_norms = (config.heads + config.kv_heads if config.norm == "layernorm" else 2) * config.head_channels
    table = config.vocab_tokens * config.hidden
    return ParameterCount(
        embedding=table,
        attention=config.layers * attention,
        mlp=config.layers * 3 * config.hidden * config.mlp_hidden,
        norms=(2 * config.layers + 1) * norm + (config.layers * head_norms if config.qk_norm else 0),
        head=0 if config.tied_head else table,
    )


def matrix_shapes(config: ModelConfig) -> dict[Target, tuple[int, int]]:
    """Return outputs and inputs of each of a block's matrices, by the names that adapters know them under."""
    kv_channels, hidden, mlp = config.kv_heads * config.head_channels, config.hidden, config.mlp_hidden
    return {
        "query": (hidden, hidden),
        "key": (kv_channels, hidden),
        "value": (kv_channels, hidden),
        "output": (hidden, hidden),
        "gate": (mlp, hidden),
        "up": (mlp, hidden),
        "down": (hidden, mlp),
    }


def count_adapter(config: ModelConfig, adapter: AdapterConfig) -> int:
    """Count the numbers that adapters add, which are all that is learnt: rank · (outputs + inputs) beside each matrix."""
    shapes = matrix_shapes(config)
    return config.layers * sum(adapter.rank * sum(shapes[target]) for target in set(adapter.targets))
