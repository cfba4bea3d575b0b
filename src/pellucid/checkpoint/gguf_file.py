"""A GGUF file → `ModelConfig` and our state dict, plain or quantised types turned into float32 by the format owner's package.

Read are llama.cpp's `llama` and `stablelm`. Its `llama` rotates neighbouring channels, so the rows of queries and keys stand in
another order there; its `stablelm` rotates halves, as we do.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.checkpoint.foreign import ForeignFields
from pellucid.core.errors import ArtifactError, MissingExtraError, UsageError
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import check_tensors
from pellucid.recipe.model import ModelConfig

__all__ = ["read_gguf_config", "read_gguf_file"]

_ARCHITECTURES = ("llama", "stablelm")
_OUTER_PARTS = {"embedding": "token_embd", "norm": "output_norm", "head": "output"}
_BLOCK_PARTS = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "mlp_norm": "ffn_norm",
    "mlp.gate": "ffn_gate",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
}
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


def read_gguf_file(file: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Return the model's config and its weights (float32, on the CPU, our names).

    The format has no word for some fields: `tied_head` is true when there is no head or it equals the embedding (up to the
    embedding's F16), `norm_bias` when a norm's bias is not zero, `init_std` is the default.
    Raises `MissingExtraError` without the package gguf, and `ArtifactError` naming file and field or tensor: cut short, of another
    architecture, a tensor missing, unknown, of another shape or of a type that cannot be dequantised.
    """
    gguf = _gguf()
    fields, tensors = _open(gguf, file)
    config = _config(file, fields, tensors)
    if config.norm == "layernorm" and not config.norm_bias:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("norm.bias")}
    if config.tied_head and _HEAD in tensors:
        tensors[_EMBEDDING] = tensors.pop(_HEAD)  # the same, or the same before it was rounded
    names = _names(file, config)
    present = {name: torch.empty(_shape(tensor), device="meta") for name, tensor in tensors.items()}
    try:
        check_tensors(present, dict(names.values()))
    except ArtifactError as error:
        raise ArtifactError(f"{file}: {error}") from error
    state = {ours: _float32(gguf, file, tensors[theirs], config) for ours, (theirs, _) in names.items()}
    return config, state


def read_gguf_config(file: Path) -> ModelConfig:
    """Return what the file describes, without unpacking its weights. Raises as above, but looks at no tensor's shape."""
    fields, tensors = _open(_gguf(), file)
    return _config(file, fields, tensors)


def _gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError("gguf", "gguf", "reading a GGUF file") from error
    return gguf


def _open(gguf: Any, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that describe the model, and the tensors, by their names. Vocabulary and text fields are not unpacked."""
    try:
        reader = gguf.GGUFReader(file)
        described = ("general.architecture", "split.count", *(f"{name}." for name in _ARCHITECTURES))
        fields = {name: field.contents() for name, field in reader.fields.items() if name.startswith(described)}
    except (OSError, ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise ArtifactError(f"{file} cannot be read; it is cut short or no GGUF file ({type(error).__name__}: {error})") from error
    return fields, {tensor.name: tensor for tensor in reader.tensors}


def _config(file: Path, described: Mapping[str, Any], tensors: Mapping[str, Any]) -> ModelConfig:
    architecture = described.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise ArtifactError(
            f"{file}: general.architecture: got {architecture!r}; weights can be imported from {' and '.join(_ARCHITECTURES)}"
        )
    if described.get("split.count", 1) > 1:
        raise ArtifactError(f"{file}: split.count: got {described['split.count']}; join the parts first (llama-gguf-split --merge)")
    if _EMBEDDING not in tensors:
        raise ArtifactError(f"{file}: {_EMBEDDING} is missing")
    prefix = f"{architecture}."
    fields = ForeignFields(file, {name.removeprefix(prefix): value for name, value in described.items() if name.startswith(prefix)})
    hidden, heads = fields.integer("embedding_length"), fields.integer("attention.head_count")
    channels, rows = hidden // heads, _shape(tensors[_EMBEDDING])[0]
    shape: dict[str, Any] = {
        "vocab_tokens": rows,
        "context_tokens": fields.integer("context_length"),
        "layers": fields.integer("block_count"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": fields.integer("attention.head_count_kv", heads),
        "mlp_hidden": fields.integer("feed_forward_length"),
        "rotary_base": _shortest(fields.number("rope.freq_base", 10_000.0)),
        "tied_head": _is_tied(tensors),
    }
    if architecture == "stablelm":
        shape |= {
            "norm": "layernorm",
            "norm_bias": any(np.any(tensor.data) for name, tensor in tensors.items() if name.endswith("norm.bias")),
            "norm_eps": _shortest(fields.number("attention.layer_norm_epsilon")),
            "rotary_frac": _fraction(fields.integer("rope.dimension_count", channels), channels),
            "qkv_bias": "blk.0.attn_q.bias" in tensors,
        }
        # Converters write true here for every StableLM 2; llama.cpp itself goes by the MLP's norm, and so do we: it must be there.
        fields.skip(["use_parallel_residual"])
    else:
        shape |= {
            "norm": "rmsnorm",
            "norm_bias": False,
            "norm_eps": _shortest(fields.number("attention.layer_norm_rms_epsilon")),
            "rotary_frac": 1.0,
            "qkv_bias": False,
        }
        fields.must_be("rope.dimension_count", channels)
    fields.must_be("vocab_size", rows)
    for name in ("attention.key_length", "attention.value_length"):
        fields.must_be(name, channels)
    for name in ("expert_count", "expert_used_count", "attention.sliding_window"):
        fields.must_be(name, 0)
    fields.must_be("rope.scaling.type", "none")
    fields.refuse_unread()
    return fields.model_config(**shape)


def _names(file: Path, config: ModelConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Our name → (llama.cpp's name, shape) of every tensor."""
    try:
        with torch.device("meta"):
            model = Decoder(config)
    except UsageError as error:
        raise ArtifactError(f"{file}: {error}") from error
    return {ours: (_their_name(ours), tuple(parameter.shape)) for ours, parameter in model.named_parameters()}


def _their_name(ours: str) -> str:
    module, _, kind = ours.rpartition(".")
    if module in _OUTER_PARTS:
        return f"{_OUTER_PARTS[module]}.{kind}"
    _, layer, part = module.split(".", 2)
    return f"blk.{layer}.{_BLOCK_PARTS[part]}.{kind}"


def _shape(tensor: Any) -> tuple[int, ...]:
    """The shape in our order; the file has it reversed."""
    return tuple(int(size) for size in reversed(tensor.shape))


def _is_tied(tensors: Mapping[str, Any]) -> bool:
    """No head, or the embedding once more: llama.cpp's `stablelm` wants a tied head written out, float32 in F16 files too."""
    if _HEAD not in tensors:
        return True
    embedding, head = tensors[_EMBEDDING], tensors[_HEAD]
    if embedding.tensor_type == head.tensor_type:
        return np.array_equal(embedding.data, head.data)
    if embedding.data.dtype == np.float16 and head.data.dtype == np.float32:
        return np.array_equal(embedding.data, head.data.astype(np.float16))
    return False


def _shortest(value: float) -> float:
    """The shortest decimal that the file's float32 stands for: 1e-05, not 9.99999974e-06."""
    return float(str(np.float32(value)))


def _fraction(rotated: int, channels: int) -> float:
    """The share of channels from which the decoder counts `rotated` ones back."""
    share = rotated / channels
    return share if int(channels * share) == rotated else math.nextafter(share, 2.0)


def _float32(gguf: Any, file: Path, tensor: Any, config: ModelConfig) -> Tensor:
    try:
        array: npt.NDArray[np.float32] = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    except (NotImplementedError, ValueError) as error:
        raise ArtifactError(f"{file}: {tensor.name} has type {tensor.tensor_type.name}, which cannot be read: {error}") from error
    if config.norm == "rmsnorm" and tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
        array = _halves(array, config.head_channels)
    # A copy: what stays mapped would change, or crash, when the file does.
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _halves(array: npt.NDArray[np.float32], head_channels: int) -> npt.NDArray[np.float32]:
    """Reorder each head's rows for rotation of halves: rows 2i and 2i+1 become row i and row i + C/2."""
    pairs = array.reshape(-1, head_channels // 2, 2, array.shape[1])
    return pairs.swapaxes(1, 2).reshape(array.shape)
