"""The state dict under Hugging Face's names, both ways.

LayerNorm models are written as `StableLmForCausalLM`, RMSNorm models as `LlamaForCausalLM` or, with `qk_norm`, `Qwen3ForCausalLM`:
each is the transformers class that computes the same function. Tensors are only renamed, and cut by heads where transformers has a
module for each head, so a round trip is bit-equal.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig

__all__ = ["BLOCK_PARTS", "architecture", "check_tensors", "from_hf", "hf_names", "to_hf"]

_OUTER_PARTS = {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
BLOCK_PARTS = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q",
    "attention.key_norm": "self_attn.k",
    "mlp_norm": "post_attention_layernorm",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}
"""Our part of a block → Hugging Face's name of it within a layer (norms of heads have more to them)."""


def to_hf(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Return our state dict under Hugging Face's names.

    transformers' StableLM norms always have a bias: where ours have none, zeros are written, which compute the same.
    Raises `ArtifactError` when a tensor is missing, unknown or of another shape than the config says, `UsageError` for a
    shape that no transformers class computes.
    """
    architecture(config)
    names = _names(config)
    check_tensors(state, {ours: (len(theirs) * shape[0], *shape[1:]) for ours, (theirs, shape) in names.items()})
    biases = {theirs: torch.zeros_like(state["norm.weight"]) for theirs in _zero_biases(config)}
    parts = ((theirs, state[ours].chunk(len(theirs))) for ours, (theirs, _) in names.items())
    return {name: part for theirs, tensors in parts for name, part in zip(theirs, tensors, strict=True)} | biases


def from_hf(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Return a Hugging Face state dict under our names. The inverse of `to_hf`, and raises as it does.

    A tied model's second copy of the embedding (`lm_head.weight`) is accepted and left out when it is equal.
    """
    architecture(config)
    names = _names(config)
    state = dict(state)
    for theirs in _zero_biases(config):
        if theirs in state and bool(state.pop(theirs).any()):
            raise ArtifactError(f"{theirs} is not zero, but the model's config has norm_bias: false; set norm_bias: true")
    if config.tied_head and "lm_head.weight" in state:
        head = state.pop("lm_head.weight")
        if "model.embed_tokens.weight" in state and not torch.equal(head, state["model.embed_tokens.weight"]):
            raise ArtifactError(
                "lm_head.weight differs from the embedding, but the config has tied_head: true; set tied_head: false"
            )
    check_tensors(state, {name: shape for theirs, shape in names.values() for name in theirs})
    parts = {ours: [state[name] for name in theirs] for ours, (theirs, _) in names.items()}
    return {ours: torch.cat(tensors) if len(tensors) > 1 else tensors[0] for ours, tensors in parts.items()}


def hf_names(config: ModelConfig) -> dict[str, list[str]]:
    """Return our name → Hugging Face's of every tensor; several, by head, where transformers has a module for each."""
    return {ours: theirs for ours, (theirs, _) in _names(config).items()}


def architecture(config: ModelConfig) -> str:
    """Return the name of the transformers class that computes this config. Raises `UsageError` when there is none."""
    if config.norm == "layernorm":
        return "StableLmForCausalLM"
    if config.rotary_channels != config.head_channels or config.qkv_bias:
        raise UsageError(
            f"transformers has no model with rmsnorm, rotary_frac {config.rotary_frac}, qkv_bias {config.qkv_bias} and "
            f"qk_norm {config.qk_norm}: Llama, and Qwen3 with its qk_norm, need rotary_frac 1 and no bias; "
            "with layernorm any of the three can be exported"
        )
    return "Qwen3ForCausalLM" if config.qk_norm else "LlamaForCausalLM"


def _names(config: ModelConfig) -> dict[str, tuple[list[str], tuple[int, ...]]]:
    """Our name → (Hugging Face's names, shape of each) of every tensor; several names share ours in equal parts."""
    with torch.device("meta"):
        model = Decoder(config)
    names = {ours: (_their_names(ours, config), tuple(parameter.shape)) for ours, parameter in model.named_parameters()}
    return {ours: (theirs, (shape[0] // len(theirs), *shape[1:])) for ours, (theirs, shape) in names.items()}


def _their_names(ours: str, config: ModelConfig) -> list[str]:
    module, _, kind = ours.rpartition(".")
    if module in _OUTER_PARTS:
        return [f"{_OUTER_PARTS[module]}.{kind}"]
    _, layer, part = module.split(".", 2)
    theirs = f"model.layers.{layer}.{BLOCK_PARTS[part]}"
    heads = {"attention.query_norm": config.heads, "attention.key_norm": config.kv_heads}.get(part)
    if heads is None:
        return [f"{theirs}.{kind}"]
    if config.norm == "rmsnorm":
        return [f"{theirs}_norm.{kind}"]
    return [f"{theirs}_layernorm.norms.{head}.{kind}" for head in range(heads)]


def _zero_biases(config: ModelConfig) -> list[str]:
    """Names of biases that transformers has and a LayerNorm without bias has not."""
    if config.norm != "layernorm" or config.norm_bias:
        return []
    blocks = [
        f"model.layers.{i}.{part}.bias" for i in range(config.layers) for part in ("input_layernorm", "post_attention_layernorm")
    ]
    return [*blocks, "model.norm.bias"]


def check_tensors(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `ArtifactError` naming the tensors that are missing, unknown or of another shape than `shapes` says."""
    faults = [f"{name} is missing" for name in shapes if name not in state]
    faults += [f"{name} is unknown" for name in state if name not in shapes]
    faults += [
        f"{name} has shape {tuple(state[name].shape)}, the config says {shape}"
        for name, shape in shapes.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ArtifactError("the weights do not fit the model's config: " + "; ".join(faults[:5]) + more)
