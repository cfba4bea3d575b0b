"""Weights wherever they lie: which kind a path is, what they are known by, and those of other programs as ours."""

from hashlib import sha256
from pathlib import Path

import orjson
from torch import Tensor

from pellucid.checkpoint.gguf_file import read_gguf_file
from pellucid.checkpoint.hf_folder import read_hf_folder, weight_files
from pellucid.core.artifacts import DIGEST_LIMIT_BYTES, fingerprint
from pellucid.core.files import sha256_file
from pellucid.recipe.hf_shape import CONFIG
from pellucid.recipe.like import describe_weights, is_gguf_file
from pellucid.recipe.model import ModelConfig

__all__ = ["describe_weights", "import_weights", "is_checkpoint", "weights_digest"]


def is_checkpoint(path: Path) -> bool:
    """Tell whether a path is a checkpoint folder of ours, to judge by its manifest."""
    return (path / "manifest.json").is_file()


def import_weights(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Return the config and the state dict (float32, on the CPU, our names) of a Hugging Face folder or a GGUF file.

    Raises `UsageError` when the path is neither, `MissingExtraError` for a GGUF file without the package gguf, and `ArtifactError`
    naming file and field or tensor for everything in it that is damaged or that the decoder cannot represent.
    """
    return read_gguf_file(path) if is_gguf_file(path) else read_hf_folder(path)


def weights_digest(path: Path) -> str:
    """Return one digest of the weights at a path, as a stage records its input. Raises as `import_weights` does for the path.

    Files of other programs are known by their bytes up to 4 GiB, above that by size and time: reading them all would take too long.
    """
    if is_checkpoint(path):
        return fingerprint(path)
    files = [path] if is_gguf_file(path) else [path / CONFIG, *(path / name for name in weight_files(path))]
    whole = sum(file.stat().st_size for file in files) <= DIGEST_LIMIT_BYTES
    known = [sha256_file(file) if whole else f"{file.stat().st_size}@{file.stat().st_mtime_ns}" for file in files]
    return sha256(orjson.dumps(known)).hexdigest()
