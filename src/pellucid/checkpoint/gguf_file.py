"""A GGUF file → `ModelConfig` and our state dict, plain or quantised types turned into float32 by the format owner's package.

Read are llama.cpp's `llama`, `qwen3` and `stablelm`. Its `llama` rotates neighbouring channels, so the rows of queries and keys
stand in another order there; the other two rotate halves, as we do.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError, MissingExtraError, UsageError
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import check_tensors
from pellucid.recipe.gguf_shape import EMBEDDING, HEAD, read_gguf_config
from pellucid.recipe.model import ModelConfig

__all__ = ["read_gguf_config", "read_gguf_file", "read_gguf_tensors"]

_OUTER_PARTS = {"embedding": "token_embd", "norm": "output_norm", "head": "output"}
_BLOCK_PARTS = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "attention.query_norm": "attn_q_norm",
    "attention.key_norm": "attn_k_norm",
    "mlp_norm": "ffn_norm",
    "mlp.gate": "ffn_gate",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
}


def read_gguf_file(file: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Return the model's config and its weights (float32, on the CPU, our names).

    Fields that the format has no word for are told as `read_gguf_config` says.
    Raises `MissingExtraError` without the package gguf, and `ArtifactError` naming file and field or tensor: cut short, of another
    architecture, a tensor missing, unknown, of another shape or of a type that cannot be dequantised.
    """
    gguf = _gguf()
    config, tensors = read_gguf_config(file), _tensors(gguf, file)
    if config.norm == "layernorm" and not config.norm_bias:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("norm.bias")}
    if config.tied_head and HEAD in tensors:
        tensors[EMBEDDING] = tensors.pop(HEAD)  # the same, or the same before it was rounded
    return config, _state(gguf, file, tensors, config)


def read_gguf_tensors(file: Path) -> tuple[ModelConfig, dict[str, Tensor], dict[str, str]]:
    """Return the model's config, its weights as `read_gguf_file` does, and each one's type in small letters (q4_k).

    Every tensor of the file is there: a tied head that is written out as `head.weight`, and biases of norms that are zeros.
    Raises as `read_gguf_file` does.
    """
    gguf = _gguf()
    config, tensors = read_gguf_config(file), _tensors(gguf, file)
    has_biases = config.norm == "layernorm" and "output_norm.bias" in tensors
    written = config.model_copy(update={"norm_bias": has_biases, "tied_head": HEAD not in tensors})
    state = _state(gguf, file, tensors, written)
    return config, state, {name: tensors[_their_name(name)].tensor_type.name.lower() for name in state}


def _gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError("gguf", "gguf", "reading a GGUF file") from error
    return gguf


def _tensors(gguf: Any, file: Path) -> dict[str, Any]:
    try:
        return {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    except (OSError, ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise ArtifactError(f"{file} cannot be read; it is cut short or no GGUF file ({type(error).__name__}: {error})") from error


def _state(gguf: Any, file: Path, tensors: Mapping[str, Any], config: ModelConfig) -> dict[str, Tensor]:
    """Return the tensors under our names, being those that a decoder of this config has."""
    shapes = _shapes(file, config)
    present = {name: torch.empty(_their_shape(tensor), device="meta") for name, tensor in tensors.items()}
    try:
        check_tensors(present, {_their_name(ours): _stacked(ours, shape, config) for ours, shape in shapes.items()})
    except ArtifactError as error:
        raise ArtifactError(f"{file}: {error}") from error
    return {ours: _float32(gguf, file, tensors[_their_name(ours)], config).view(shape) for ours, shape in shapes.items()}


def _shapes(file: Path, config: ModelConfig) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):
            model = Decoder(config)
    except UsageError as error:
        raise ArtifactError(f"{file}: {error}") from error
    return {ours: tuple(parameter.shape) for ours, parameter in model.named_parameters()}


def _stacked(ours: str, shape: tuple[int, ...], config: ModelConfig) -> tuple[int, ...]:
    """Our shape as the file has it: llama.cpp's `stablelm` has a row for each head in the norms of queries and keys."""
    if config.norm == "layernorm" and ours.endswith(("query_norm.weight", "key_norm.weight")):
        return (shape[0] // config.head_channels, config.head_channels)
    return shape


def _their_name(ours: str) -> str:
    module, _, kind = ours.rpartition(".")
    if module in _OUTER_PARTS:
        return f"{_OUTER_PARTS[module]}.{kind}"
    _, layer, part = module.split(".", 2)
    return f"blk.{layer}.{_BLOCK_PARTS[part]}.{kind}"


def _their_shape(tensor: Any) -> tuple[int, ...]:
    """The shape in our order; the file has it reversed."""
    return tuple(int(size) for size in reversed(tensor.shape))


def _float32(gguf: Any, file: Path, tensor: Any, config: ModelConfig) -> Tensor:
    try:
        array: npt.NDArray[np.float32] = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    except (NotImplementedError, ValueError) as error:
        raise ArtifactError(f"{file}: {tensor.name} has type {tensor.tensor_type.name}, which cannot be read: {error}") from error
    if config.norm == "rmsnorm" and not config.qk_norm and tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
        array = _halves(array, config.head_channels)
    # A copy: what stays mapped would change, or crash, when the file does.
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _halves(array: npt.NDArray[np.float32], head_channels: int) -> npt.NDArray[np.float32]:
    """Reorder each head's rows for rotation of halves: rows 2i and 2i+1 become row i and row i + C/2."""
    pairs = array.reshape(-1, head_channels // 2, 2, array.shape[1])
    return pairs.swapaxes(1, 2).reshape(array.shape)
