"""A folder that `mlx-lm` loads, on Apple's chips and on a CPU under Linux: float16, or 4 bits a weight in groups.

The tensors and settings are those that `mlx_lm.convert` makes of the Hugging Face folder; a test holds them to it byte by byte.
"""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.core.errors import MissingExtraError
from pellucid.core.files import disk_full_is_explained
from pellucid.core.progress import track
from pellucid.export.beside import ChatExport, check_vocabulary, write_beside
from pellucid.export.half import float16
from pellucid.model.hf_names import architecture, to_hf
from pellucid.recipe.after import MlxType
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["MlxType", "write_mlx"]


_WEIGHTS = "model.safetensors"
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_BITS = 4
_GROUPS = (64, 32)
"""Weights that share a scale and an offset: mlx-lm's own default, and the smallest that MLX has."""


def write_mlx(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    type: MlxType,
    chat: ChatExport | None = None,
) -> dict[str, Any]:
    """Write the model and its tokenizer for `mlx_lm.load`; `state` has our names. Return what was written and how.

    int4: every matrix, embedding and head included, as 4-bit integers with a float16 scale and offset for each group of 64 weights
    of a row, or of 32 where the rows are no multiple of 64; rows that are no multiple of 32 stay float16 and are named under
    `kept`. Norms and biases are float16. A StableLM head that is tied is written out, for mlx-lm's StableLM knows no other.

    Raises `MissingExtraError` without the package mlx, `UsageError` for a shape that mlx-lm does not compute, and `ArtifactError`
    where weights, config and tokenizer disagree or a weight does not fit float16.
    """
    mx = _mlx()
    check_vocabulary(config, tokenizer)
    tensors = to_hf(state, config)
    untied = architecture(config) == "StableLmForCausalLM" and config.tied_head
    if untied:
        tensors = {**tensors, _HEAD: tensors[_EMBEDDING]}
    quantization: dict[str, Any] = {"group_size": _GROUPS[0], "bits": _BITS, "mode": "affine"}
    arrays: dict[str, Any] = {}
    kept = []
    for name, tensor in track(tensors.items(), f"MLX {type}", len(tensors), "tensors"):
        half = mx.array(float16(name, tensor).numpy())
        group = _group(tensor) if type == "int4" else None
        if group is None:
            arrays[name] = half
            if type == "int4" and tensor.ndim == 2:
                kept.append({"tensor": name, "row": tensor.shape[1], "got": "float16", "why": f"no multiple of {_GROUPS[-1]}"})
            continue
        arrays |= _quantized(mx, name, half, group)
        if group != _GROUPS[0]:
            quantization[name.removesuffix(".weight")] = {"group_size": group, "bits": _BITS, "mode": "affine"}
    changed: dict[str, Any] = {"tie_word_embeddings": False} if untied else {}
    if type == "int4":
        changed |= {"quantization": quantization, "quantization_config": quantization}
    folder.mkdir(parents=True, exist_ok=True)
    with disk_full_is_explained(folder):
        mx.save_safetensors(str(folder / _WEIGHTS), arrays, metadata={"format": "mlx"})
        write_beside(config, tokenizer, folder, dtype="float16", chat=chat, changed=changed)
    facts = {"type": type, "written_with": f"mlx {metadata.version('mlx')}", "weight_bytes": (folder / _WEIGHTS).stat().st_size}
    if type == "int4":
        facts |= {"bits": _BITS, "group_weights": sorted({g for g in map(_group, tensors.values()) if g is not None}), "kept": kept}
    return facts


def _group(tensor: Tensor) -> int | None:
    """Weights of a matrix's row that share a scale; None for what is no matrix, or has rows that no group divides."""
    return next((group for group in _GROUPS if tensor.ndim == 2 and tensor.shape[1] % group == 0), None)


def _quantized(mx: Any, name: str, half: Any, group: int) -> dict[str, Any]:
    parts = mx.quantize(half, group_size=group, bits=_BITS)
    # Now, so that the dense matrix is free before the next one.
    mx.eval(parts)
    module = name.removesuffix(".weight")
    return dict(zip((f"{module}.{part}" for part in ("weight", "scales", "biases")), parts, strict=True))


def _mlx() -> Any:
    try:
        import mlx.core
    except ImportError as error:
        raise MissingExtraError("mlx", "mlx", "an MLX export") from error
    return mlx.core
