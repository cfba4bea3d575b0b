"""The fields of a GGUF file → `ModelConfig`: llama.cpp's `llama`, `qwen3` and `stablelm`. Without torch and the package gguf."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.core.errors import ArtifactError
from pellucid.core.gguf import GgufTensor, read_gguf
from pellucid.recipe.foreign import ForeignFields
from pellucid.recipe.model import MOST, ModelConfig

__all__ = ["EMBEDDING", "HEAD", "check_gguf_fields", "read_gguf_config"]

EMBEDDING, HEAD = "token_embd.weight", "output.weight"
_ARCHITECTURES = ("llama", "qwen3", "stablelm")
# Without the architecture's name; of layers, LLAMA_MAX_LAYERS of llama.cpp.
_LARGEST = {
    "block_count": 512,
    "context_length": MOST["context_tokens"],
    "embedding_length": MOST["hidden"],
    "feed_forward_length": MOST["mlp_hidden"],
    "attention.head_count": 2**16,
    "attention.head_count_kv": 2**16,
    "vocab_size": MOST["vocab_tokens"],
}


def read_gguf_config(file: Path) -> ModelConfig:
    """Return what a file describes, without unpacking its weights; a moment's work.

    The format has no word for some fields: `tied_head` is true when there is no head or it equals the embedding (up to the
    embedding's F16), `norm_bias` when a norm's bias is not zero, `init_std` is the default.
    Raises `ArtifactError` naming file and field: cut short, of another architecture, not to be represented by the decoder.
    """
    head = read_gguf(file)
    described, tensors = head.fields, head.tensors
    architecture = described.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise ArtifactError(
            f"{file}: general.architecture: got {architecture!r}; weights can be imported from {', '.join(_ARCHITECTURES)}"
        )
    if described.get("split.count", 1) not in (0, 1):
        raise ArtifactError(
            f"{file}: split.count: got {described['split.count']!r:.60}; join the parts first (llama-gguf-split --merge)"
        )
    if EMBEDDING not in tensors or not tensors[EMBEDDING].shape:
        raise ArtifactError(f"{file}: {EMBEDDING} is missing")
    prefix = f"{architecture}."
    fields = ForeignFields(file, {name.removeprefix(prefix): value for name, value in described.items() if name.startswith(prefix)})
    hidden, heads = fields.integer("embedding_length"), fields.integer("attention.head_count")
    channels, rows = hidden // heads, tensors[EMBEDDING].shape[0]
    shape: dict[str, Any] = {
        "vocab_tokens": rows,
        "context_tokens": fields.integer("context_length"),
        "layers": fields.integer("block_count", most=MOST["layers"]),
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
            "norm_bias": any(_is_set(tensor) for name, tensor in tensors.items() if name.endswith("norm.bias")),
            "norm_eps": _shortest(fields.number("attention.layer_norm_epsilon")),
            "rotary_frac": _fraction(fields.integer("rope.dimension_count", channels), channels),
            "qkv_bias": "blk.0.attn_q.bias" in tensors,
            "qk_norm": "blk.0.attn_q_norm.weight" in tensors,
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
            "qk_norm": architecture == "qwen3",
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


def check_gguf_fields(file: Path) -> Mapping[str, Any]:
    """Return a file's fields where llama.cpp can be given it, of any architecture. Raises `ArtifactError` naming file and field.

    llama.cpp ends the whole process on sizes that it has no room for (GGML_ASSERT), so they are looked at before.
    """
    fields = read_gguf(file).fields
    for name, value in fields.items():
        most = _LARGEST.get(name.partition(".")[2])
        if most is not None and not (isinstance(value, int) and 1 <= value <= most):
            raise ArtifactError(f"{file}: {name}: got {value!r:.60}; must be a whole number from 1 to {most}")
    tokens = fields.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ArtifactError(f"{file}: tokenizer.ggml.tokens: must be a list of texts")
    return fields


def _is_tied(tensors: Mapping[str, GgufTensor]) -> bool:
    """No head, or the embedding once more: llama.cpp's `stablelm` wants a tied head written out, float32 in F16 files too."""
    if HEAD not in tensors:
        return True
    embedding, head = tensors[EMBEDDING], tensors[HEAD]
    if embedding.shape != head.shape:
        return False
    if embedding.kind == head.kind:
        size = min(embedding.padded_bytes, head.padded_bytes)
        return np.array_equal(embedding.raw()[:size], head.raw()[:size])
    halves, floats = embedding.values(), head.values()
    if halves is not None and floats is not None and halves.dtype == np.float16:
        return np.array_equal(halves, floats.astype(np.float16))
    return False


def _is_set(tensor: GgufTensor) -> bool:
    values = tensor.values()
    return bool(np.any(tensor.raw() if values is None else values))


def _shortest(value: float) -> float:
    """The shortest decimal that the file's float32 stands for: 1e-05, not 9.99999974e-06."""
    return float(str(np.float32(value)))


def _fraction(rotated: int, channels: int) -> float:
    """The share of channels from which the decoder counts `rotated` ones back."""
    share = rotated / channels
    return share if int(channels * share) == rotated else math.nextafter(share, 2.0)
