"""Which number type each tensor of a GGUF file gets.

The mixes, and what stands in for a type whose blocks do not fit, are those of llama.cpp's own quantiser without an importance
matrix (src/llama-quant.cpp: `llama_tensor_get_type_impl`, `tensor_type_fallback`, `tensor_allows_quantization`), for the
architectures exported here. One thing is our own: F16 and BF16 files hold a head of its own in float32.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pellucid.recipe.after import GgufType
from pellucid.recipe.model import ModelConfig

__all__ = [
    "HEAD",
    "GgufType",
    "Mix",
    "TensorType",
    "TypeChoice",
    "bits_per_weight",
    "block_weights",
    "explain_fallbacks",
    "file_type",
    "stored_bytes",
]

TensorType = Literal["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]

_BLOCKS: dict[TensorType, tuple[int, int]] = {
    "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2),
    "Q8_0": (32, 34), "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24),
    "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210),
}  # fmt: skip
"""Type → the weights of a row that are stored together, and their bytes. A row has to be a multiple of the first."""

_MATRICES: dict[GgufType, TensorType] = {
    "F32": "F32", "F16": "F16", "BF16": "BF16", "Q8_0": "Q8_0", "Q4_0": "Q4_0", "Q4_1": "Q4_1",
    "Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K", "Q6_K": "Q6_K",
}  # fmt: skip

_FALLBACKS: dict[TensorType, TensorType] = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}

EMBEDDING, HEAD = "token_embd.weight", "output.weight"


def bits_per_weight(kind: TensorType) -> float:
    """Return how many bits a weight takes, its block's scales included."""
    weights, stored = _BLOCKS[kind]
    return 8 * stored / weights


def block_weights(kind: TensorType) -> int:
    """Return how many weights of a row are stored together: rows have to be multiples of it."""
    return _BLOCKS[kind][0]


def file_type(dtype: GgufType) -> str:
    """Return the name that `gguf.LlamaFileType` has for a file's type."""
    return "ALL_F32" if dtype == "F32" else f"MOSTLY_{dtype}"


def stored_bytes(kind: TensorType, shape: Sequence[int]) -> int:
    """Return how many bytes a tensor takes, its rows being whole blocks."""
    return math.prod(shape) // _BLOCKS[kind][0] * _BLOCKS[kind][1]


@dataclass(frozen=True)
class TypeChoice:
    """The type that the mix wants for a tensor, and the one it gets: another where its rows do not fit the wanted one's blocks."""

    tensor: str
    width: int
    wanted: TensorType
    got: TensorType


@dataclass(frozen=True)
class Mix:
    """A file's type, with what the choice for each tensor depends on. `has_head`: the head is a tensor of its own in the file."""

    dtype: GgufType
    config: ModelConfig
    has_head: bool

    def choose(self, tensor: str, shape: Sequence[int]) -> TypeChoice:
        """Return the type of a tensor, by llama.cpp's name of it and its shape, the row's width last."""
        width = shape[-1]
        if len(shape) < 2 or "norm" in tensor or not tensor.endswith(".weight"):
            return TypeChoice(tensor, width, "F32", "F32")
        wanted = got = self._wanted(tensor)
        while width % block_weights(got):
            got = _FALLBACKS.get(got, "F16")
        return TypeChoice(tensor, width, wanted, got)

    def _wanted(self, tensor: str) -> TensorType:
        matrices = _MATRICES[self.dtype]
        if self.dtype in ("F32", "F16", "BF16"):
            # The head's rounding would reach the logits as it is.
            return "F32" if tensor == HEAD else matrices
        if tensor == HEAD or (tensor == EMBEDDING and not self.has_head):
            return "Q8_0" if matrices == "Q8_0" else "Q6_K"
        if self.dtype in ("Q4_K_M", "Q5_K_M") and tensor.startswith("blk."):
            _, layer, part = tensor.split(".", 2)
            if part in ("attn_v.weight", "ffn_down.weight") and _gets_more_bits(int(layer), self.config.layers):
                return "Q6_K"
            if part == "attn_v.weight" and self.dtype == "Q4_K_M" and _is_70b(self.config):
                return "Q5_K"
        return matrices


def _gets_more_bits(layer: int, layers: int) -> bool:
    """Tell whether the mixes spend more on this layer: the first and last eighth, and every third one between."""
    first = layers // 8
    return layer < first or layer >= 7 * layers // 8 or (layer - first) % 3 == 2


def _is_70b(config: ModelConfig) -> bool:
    """Tell whether llama.cpp takes the model for Llama's 70B, whose values are so few that a bit more costs next to nothing."""
    return config.norm == "rmsnorm" and not config.qk_norm and config.layers == 80 and config.kv_heads != config.heads


def explain_fallbacks(dtype: GgufType, choices: Sequence[TypeChoice]) -> str:
    """Return in one paragraph which tensors got another type than the mix wants, and why; empty when none did."""
    changed = [choice for choice in choices if choice.got != choice.wanted]
    if not changed:
        return ""
    groups = Counter((choice.wanted, choice.got, choice.width) for choice in changed)
    lines = [
        f"{count} tensor{'s' if count > 1 else ''} with rows of {width}: {wanted} needs multiples of {block_weights(wanted)}, "
        f"so {got} is written, {bits_per_weight(got):.3g} instead of {bits_per_weight(wanted):.3g} bits a weight"
        for (wanted, got, width), count in groups.items()
    ]
    fits = 256 if any(block_weights(choice.wanted) == 256 for choice in changed) else 32
    return (
        f"{dtype} does not fit every tensor: {'; '.join(lines)}. "
        f"Rows are as wide as model.hidden and model.mlp_hidden: multiples of {fits} get what {dtype} means"
    )
