"""A Hugging Face `config.json` → `ModelConfig`.

Read are `StableLmForCausalLM`, `LlamaForCausalLM` and `Qwen3ForCausalLM`, under the names of transformers 4 and 5. What
they compute and the decoder does not is refused by field and value.
"""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pellucid.core.errors import ArtifactError, PellucidWarning
from pellucid.core.files import read_json
from pellucid.recipe.foreign import ForeignFields
from pellucid.recipe.model import MOST, ModelConfig

__all__ = ["CONFIG", "read_hf_config"]

CONFIG = "config.json"
_ARCHITECTURES = {"StableLmForCausalLM": "stablelm", "LlamaForCausalLM": "llama", "Qwen3ForCausalLM": "qwen3"}

# These say nothing about what the weights compute. Dropout acts in training only, and how to train is the recipe's word.
_WITHOUT_EFFECT = {
    "_model_name_or_path", "_name_or_path", "architectures", "attention_dropout", "auto_map", "chunk_size_feed_forward", "dtype",
    "hidden_dropout", "id2label", "is_llama_config", "label2id", "max_window_layers", "model_type", "output_attentions",
    "output_hidden_states", "pretraining_tp", "problem_type", "return_dict", "torch_dtype", "transformers.js_config",
    "transformers_version", "use_cache",
}  # fmt: skip


def read_hf_config(file: Path, beside: Iterable[str] = ()) -> ModelConfig:
    """Return what a `config.json` describes, `norm_bias` false: the file does not tell. Raises `ArtifactError`
    naming file and field for a model that the decoder cannot represent.

    `beside` are fields that the caller reads itself. Another that is known to no one here is named in a `PellucidWarning`:
    transformers' classes do not read it either.
    """
    values = read_json(file)
    if not isinstance(values, Mapping):
        raise ArtifactError(f"{file} is not a mapping of fields to values")
    named = values.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else named
    if architecture not in _ARCHITECTURES:
        raise ArtifactError(
            f"{file}: architectures: got {architecture!r}; weights can be imported from {', '.join(sorted(_ARCHITECTURES))}"
        )
    fields = ForeignFields(file, _flat(values))
    fields.skip(beside)
    shape: dict[str, Any] = {
        "vocab_tokens": fields.integer("vocab_size"),
        "context_tokens": fields.integer("max_position_embeddings"),
        "layers": fields.integer("num_hidden_layers", most=MOST["layers"]),
        "hidden": fields.integer("hidden_size"),
        "heads": (heads := fields.integer("num_attention_heads")),
        "mlp_hidden": fields.integer("intermediate_size"),
        "rotary_base": _rotary(fields, "rope_theta", 10_000.0),
        "tied_head": fields.flag("tie_word_embeddings", False),
        "init_std": fields.number("initializer_range", 0.02),
    }
    is_qwen3 = _ARCHITECTURES[architecture] == "qwen3"
    # What is left out has the value that transformers' class gives it.
    if _ARCHITECTURES[architecture] == "stablelm":
        shape |= {
            "kv_heads": fields.integer("num_key_value_heads", 32),
            "norm": "layernorm",
            "norm_eps": fields.number("layer_norm_eps", 1e-5),
            "rotary_frac": _rotary(fields, "partial_rotary_factor", 0.25),
            "qkv_bias": fields.flag("use_qkv_bias", False),
            "qk_norm": fields.flag("qk_layernorm", False),
        }
    else:
        shape |= {
            "kv_heads": fields.integer("num_key_value_heads", 32 if is_qwen3 else heads),
            "norm": "rmsnorm",
            "norm_eps": fields.number("rms_norm_eps", 1e-6),
            "rotary_frac": 1.0,
            "qkv_bias": False,
            "qk_norm": is_qwen3,
        }
        fields.must_be("qk_layernorm", False)
        fields.must_be("partial_rotary_factor", 1.0)
        fields.must_be("rope_parameters.partial_rotary_factor", 1.0)
    _refuse_what_we_lack(fields, shape)
    return fields.model_config(norm_bias=False, **shape)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give nested rotary settings dotted names, so that each is one field."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = name in ("rope_parameters", "rope_scaling") and isinstance(value, Mapping)
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if nested else {name: value}
    return flat


def _rotary(fields: ForeignFields, name: str, default: float) -> float:
    """Read a rotary setting: nested (transformers 5) or at top level (4), and the same where it is in both."""
    outer = fields.number(name, default)
    nested = fields.number(f"rope_parameters.{name}", outer)
    if name in fields and nested != outer:
        fields.refuse(name, outer, f"rope_parameters.{name} says {nested:g}", None)
    return nested


def _refuse_what_we_lack(fields: ForeignFields, shape: Mapping[str, Any]) -> None:
    fields.must_be("hidden_act", "silu", "swish")
    channels = shape["hidden"] // shape["heads"]
    # Left out, transformers' Qwen3 takes 128 whatever the other sizes are.
    if shape["qk_norm"] and shape["norm"] == "rmsnorm" and "head_dim" not in fields and channels != 128:
        fields.refuse("head_dim", None, "", None)
    fields.must_be("head_dim", channels)
    fields.must_be("layer_types", ["full_attention"] * shape["layers"])
    for name in ("attention_bias", "mlp_bias", "use_parallel_residual", "rope_interleaved", "use_sliding_window"):
        fields.must_be(name, False)
    for group in ("rope_parameters", "rope_scaling"):
        fields.must_be(f"{group}.rope_type", "default")
        fields.must_be(f"{group}.type", "default")
    fields.skip(_WITHOUT_EFFECT)
    fields.skip(name for name in fields.unread() if name.endswith("_token_id"))
    for prefix in ("rope_", "sliding_window", "quantization_config"):
        fields.refuse_unread(prefix)
    fields.raise_faults()
    if unknown := fields.unread():
        named = ", ".join(f"{name} = {value!r}" for name, value in unknown.items())
        warnings.warn(f"{fields.file}: fields that mean nothing here are left out: {named}", PellucidWarning, stacklevel=3)
