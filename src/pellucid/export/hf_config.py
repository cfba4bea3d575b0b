"""The values of `config.json`: a decoder's shape in the words of the transformers class that computes it."""

from collections.abc import Mapping
from typing import Any

from pellucid.model.hf_names import architecture
from pellucid.recipe.model import ModelConfig

__all__ = ["hf_config"]


def hf_config(config: ModelConfig, tokenizer: Mapping[str, Any] | None = None, dtype: str = "float32") -> dict[str, Any]:
    """Return the values of `config.json`; `tokenizer` adds its own (`bos_token_id`, `eos_token_id`, `pad_token_id`).

    Rotary settings are written both nested (transformers 5) and at top level, where transformers 4, MLX and llama.cpp read them.
    Raises `UsageError` for a shape that no transformers class computes.
    """
    name = architecture(config)
    rotary: dict[str, Any] = {"rope_theta": config.rotary_base}
    if name == "StableLmForCausalLM":
        rotary["partial_rotary_factor"] = config.rotary_frac
    values = {
        "architectures": [name],
        "vocab_size": config.vocab_tokens,
        "max_position_embeddings": config.context_tokens,
        "num_hidden_layers": config.layers,
        "hidden_size": config.hidden,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_channels,
        "intermediate_size": config.mlp_hidden,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
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
    return {**values, **rotary, **_SPECIFIC[name](config), **(tokenizer or {})}


def _stablelm(config: ModelConfig) -> dict[str, Any]:
    return {
        "model_type": "stablelm",
        "layer_norm_eps": config.norm_eps,
        "use_qkv_bias": config.qkv_bias,
        "qk_layernorm": config.qk_norm,
        "use_parallel_residual": False,
        "hidden_dropout": 0.0,
    }


def _llama(config: ModelConfig) -> dict[str, Any]:
    return {"model_type": "llama", "rms_norm_eps": config.norm_eps, "attention_bias": False, "mlp_bias": False, "pretraining_tp": 1}


def _qwen3(config: ModelConfig) -> dict[str, Any]:
    return {
        "model_type": "qwen3",
        "rms_norm_eps": config.norm_eps,
        "attention_bias": False,
        "use_sliding_window": False,
        "sliding_window": None,
    }


_SPECIFIC = {"StableLmForCausalLM": _stablelm, "LlamaForCausalLM": _llama, "Qwen3ForCausalLM": _qwen3}
