"""A Hugging Face folder → `ModelConfig` and our state dict: `config.json` beside safetensors, in one file or in shards.

Read are `StableLmForCausalLM` and `LlamaForCausalLM`, under the names of transformers 4 and 5. What they compute and
the decoder does not is refused by field and value; nothing pickled is ever opened.
"""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pellucid.checkpoint.foreign import ForeignFields
from pellucid.core.errors import ArtifactError, PellucidError, PellucidWarning
from pellucid.core.files import read_json
from pellucid.model.hf_names import from_hf
from pellucid.recipe.model import ModelConfig

__all__ = ["CONFIG", "read_hf_config", "read_hf_folder", "weight_files"]

CONFIG = "config.json"
_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_ARCHITECTURES = {"StableLmForCausalLM": "stablelm", "LlamaForCausalLM": "llama"}
_TYPES = ("F32", "F16", "BF16")

# These say nothing about what the weights compute. Dropout acts in training only, and how to train is the recipe's word.
_WITHOUT_EFFECT = {
    "_model_name_or_path", "_name_or_path", "architectures", "attention_dropout", "auto_map", "chunk_size_feed_forward", "dtype",
    "hidden_dropout", "id2label", "is_llama_config", "label2id", "model_type", "output_attentions", "output_hidden_states",
    "pretraining_tp", "problem_type", "return_dict", "torch_dtype", "transformers.js_config", "transformers_version", "use_cache",
}  # fmt: skip


def read_hf_folder(folder: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Return the model's config and its weights (float32, on the CPU, our names).

    transformers' StableLM norms always have a bias: `norm_bias` is true when one of them is not zero.
    Raises `ArtifactError` naming file and field or tensor: config or shard missing, file cut short, a tensor missing, unknown, of
    another shape or of a type that is no plain float, a model that the decoder cannot represent.
    """
    config = read_hf_config(folder / CONFIG)
    state = dict(_read_tensors(folder))
    if config.norm == "layernorm":
        biases = (tensor for name, tensor in state.items() if name.endswith("norm.bias"))
        config = config.model_copy(update={"norm_bias": any(bool(bias.any()) for bias in biases)})
    try:
        return config, from_hf(state, config)
    except PellucidError as error:
        raise ArtifactError(f"{folder}: {error}") from error


def read_hf_config(file: Path) -> ModelConfig:
    """Return what a `config.json` describes, `norm_bias` false: the file does not tell. Raises `ArtifactError` as above.

    A field that is known to no one here is named in a `PellucidWarning`: transformers' two classes do not read it either.
    """
    values = read_json(file)
    if not isinstance(values, Mapping):
        raise ArtifactError(f"{file} is not a mapping of fields to values")
    named = values.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else named
    if architecture not in _ARCHITECTURES:
        raise ArtifactError(
            f"{file}: architectures: got {architecture!r}; weights can be imported from {' and '.join(sorted(_ARCHITECTURES))}"
        )
    fields = ForeignFields(file, _flat(values))
    shape: dict[str, Any] = {
        "vocab_tokens": fields.integer("vocab_size"),
        "context_tokens": fields.integer("max_position_embeddings"),
        "layers": fields.integer("num_hidden_layers"),
        "hidden": fields.integer("hidden_size"),
        "heads": (heads := fields.integer("num_attention_heads")),
        "mlp_hidden": fields.integer("intermediate_size"),
        "rotary_base": _rotary(fields, "rope_theta", 10_000.0),
        "tied_head": fields.flag("tie_word_embeddings", False),
        "init_std": fields.number("initializer_range", 0.02),
    }
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
            "kv_heads": fields.integer("num_key_value_heads", heads),
            "norm": "rmsnorm",
            "norm_eps": fields.number("rms_norm_eps", 1e-6),
            "rotary_frac": 1.0,
            "qkv_bias": False,
        }
        fields.must_be("qk_layernorm", False)
        fields.must_be("partial_rotary_factor", 1.0)
        fields.must_be("rope_parameters.partial_rotary_factor", 1.0)
    _refuse_what_we_lack(fields, shape)
    return fields.model_config(norm_bias=False, **shape)


def weight_files(folder: Path) -> dict[str, list[str]]:
    """Return the folder's safetensors files by name, each with the tensors that the index expects in it (none without an index).

    Raises `ArtifactError` when there are none, when one is missing, or when the index is not one.
    """
    if (folder / _SINGLE).is_file():
        return {_SINGLE: []}
    if not (folder / _INDEX).is_file():
        pickled = sorted(file.name for file in folder.glob("*.bin"))
        hint = f"; {pickled[0]} holds pickled code and is not opened: save the model as safetensors" if pickled else ""
        raise ArtifactError(f"{folder} has neither {_SINGLE} nor {_INDEX}{hint}")
    index = read_json(folder / _INDEX)
    places = index.get("weight_map") if isinstance(index, Mapping) else None
    if not isinstance(places, Mapping) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ArtifactError(f"{folder / _INDEX}: weight_map must be a mapping of tensors to files")
    files: dict[str, list[str]] = {}
    for tensor, name in places.items():
        files.setdefault(name, []).append(tensor)
    for name in files:
        if Path(name).name != name:
            raise ArtifactError(f"{folder / _INDEX}: weight_map: got {name!r}; must be the name of a file beside it")
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing; {_INDEX} expects {len(files[name])} tensors in it")
    return files


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
    fields.must_be("head_dim", shape["hidden"] // shape["heads"])
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


def _read_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in float32 under its own name."""
    for name, expected in weight_files(folder).items():
        file = folder / name
        try:
            with safe_open(file, framework="pt") as opened:
                present = set(opened.keys())
                absent, extra = sorted(set(expected) - present), sorted(present - set(expected)) if expected else []
                if absent or extra:
                    what = f"lacks {absent[0]}" if absent else f"holds {extra[0]}"
                    raise ArtifactError(f"{file} {what}, against {_INDEX}")
                for tensor in sorted(present):
                    # Old Llama files carry their rotary tables, which follow from rope_theta; transformers leaves them out too.
                    if not tensor.endswith("rotary_emb.inv_freq"):
                        yield tensor, _float32(file, tensor, opened)
        except SafetensorError as error:
            raise ArtifactError(f"{file} cannot be read: {error}") from error


def _float32(file: Path, name: str, opened: Any) -> Tensor:
    kind = opened.get_slice(name).get_dtype()
    if kind not in _TYPES:
        raise ArtifactError(f"{file}: {name} has type {kind}; weights can be imported from {', '.join(_TYPES)}")
    # copy: a tensor that stays mapped would change, or crash, when its file does.
    tensor: Tensor = opened.get_tensor(name)
    return tensor.to(torch.float32, copy=True)
