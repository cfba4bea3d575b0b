"""The state dict under Hugging Face's names, both ways, and the `config.json` that goes with it.

LayerNorm models are written as `StableLmForCausalLM`, RMSNorm models as `LlamaForCausalLM`: each is the transformers class that
computes the same function. Tensors are only renamed, so a round trip is bit-equal.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig

__all__ = ["check_tensors", "from_hf", "hf_config", "to_hf"]

_OUTER_PARTS = {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
_BLOCK_PARTS = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}


def to_hf(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Return our state dict under Hugging Face's names.

    transformers' StableLM norms always have a bias: where ours have none, zeros are written, which compute the same.
    Raises `ArtifactError` when a tensor is missing, unknown or of another shape than the config says, `UsageError` for a
    shape that no transformers class computes.
    """
    _architecture(config)
    names = _names(config)
    check_tensors(state, {ours: shape for ours, (_, shape) in names.items()})
    biases = {theirs: torch.zeros_like(state["norm.weight"]) for theirs in _zero_biases(config)}
    return {theirs: state[ours] for ours, (theirs, _) in names.items()} | biases


def from_hf(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Return a Hugging Face state dict under our names. The inverse of `to_hf`, and raises as it does.

    A tied model's second copy of the embedding (`lm_head.weight`) is accepted and left out when it is equal.
    """
    _architecture(config)
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
    check_tensors(state, dict(names.values()))
    return {ours: state[theirs] for ours, (theirs, _) in names.items()}


def hf_config(config: ModelConfig, tokenizer: Mapping[str, Any] | None = None, dtype: str = "float32") -> dict[str, Any]:
    """Return the values of `config.json`; `tokenizer` adds its own (`bos_token_id`, `eos_token_id`, `pad_token_id`).

    Rotary settings are written both nested (transformers 5) and at top level, where transformers 4, MLX and llama.cpp read them.
    """
    architecture, specific = _architecture(config)
    rotary: dict[str, Any] = {"rope_theta": config.rotary_base}
    if architecture == "StableLmForCausalLM":
        rotary["partial_rotary_factor"] = config.rotary_frac
    values = {
        "architectures": [architecture],
        "vocab_size": config.vocab_tokens,
        "max_position_embeddings": config.context_tokens,
        "num_hidden_layers": config.layers,
        "hidden_size": config.hidden,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_channels,
        "intermediate_size": config.mlp_hidden,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tied_head,
        "initializer_range": config.init_std,
        "rope_parameters": {"rope_type": "default", **rotary},
        "use_cache": True,
        "dtype": dtype,
        "torch_dtype": dtype,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    return {**values, **rotary, **specific, **(tokenizer or {})}


def _architecture(config: ModelConfig) -> tuple[str, dict[str, Any]]:
    """The transformers class that computes this config, with the fields that only it has."""
    if config.norm == "layernorm":
        return "StableLmForCausalLM", {
            "model_type": "stablelm",
            "layer_norm_eps": config.norm_eps,
            "use_qkv_bias": config.qkv_bias,
            "qk_layernorm": False,
            "use_parallel_residual": False,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
        }
    if config.rotary_channels != config.head_channels or config.qkv_bias:
        raise UsageError(
            f"transformers has no model with rmsnorm, rotary_frac {config.rotary_frac} and qkv_bias {config.qkv_bias}: "
            "Llama needs rotary_frac 1 and no bias; with layernorm any rotary_frac and qkv_bias can be exported"
        )
    return "LlamaForCausalLM", {
        "model_type": "llama",
        "rms_norm_eps": config.norm_eps,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "pretraining_tp": 1,
    }


def _names(config: ModelConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Our name → (Hugging Face's name, shape) of every tensor."""
    with torch.device("meta"):
        model = Decoder(config)
    return {name: (_their_name(name), tuple(parameter.shape)) for name, parameter in model.named_parameters()}


def _their_name(ours: str) -> str:
    module, _, kind = ours.rpartition(".")
    if module in _OUTER_PARTS:
        return f"{_OUTER_PARTS[module]}.{kind}"
    _, layer, part = module.split(".", 2)
    return f"model.layers.{layer}.{_BLOCK_PARTS[part]}.{kind}"


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
