"""Weights wherever they lie: which kind a path is, what they are known by, and those of other programs as ours."""

from hashlib import sha256
from pathlib import Path

import orjson
from torch import Tensor

from pellucid.checkpoint.gguf_file import read_gguf_config, read_gguf_file
from pellucid.checkpoint.hf_folder import CONFIG, read_hf_config, read_hf_folder, weight_files
from pellucid.core.artifacts import DIGEST_LIMIT_BYTES, fingerprint
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.files import sha256_file
from pellucid.recipe.model import ModelConfig

__all__ = ["describe_weights", "import_weights", "is_checkpoint", "weights_digest"]

_KINDS = "a Hugging Face folder (config.json and safetensors), a GGUF file or a checkpoint folder"


def is_checkpoint(path: Path) -> bool:
    """Tell whether a path is a checkpoint folder of ours, to judge by its manifest."""
    return (path / "manifest.json").is_file()


def import_weights(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Return the config and the state dict (float32, on the CPU, our names) of a Hugging Face folder or a GGUF file.

    Raises `UsageError` when the path is neither, `MissingExtraError` for a GGUF file without the package gguf, and `ArtifactError`
    naming file and field or tensor for everything in it that is damaged or that the decoder cannot represent.
    """
    return read_gguf_file(path) if _is_file(path) else read_hf_folder(path)


def describe_weights(path: Path) -> ModelConfig:
    """Return the config alone, without reading the weights; a folder's `norm_bias` is false whatever it holds. Raises as above."""
    return read_gguf_config(path) if _is_file(path) else read_hf_config(path / CONFIG)


def weights_digest(path: Path) -> str:
    """Return one digest of the weights at a path, as a stage records its input. Raises as `import_weights` does for the path.

    Files of other programs are known by their bytes up to 4 GiB, above that by size and time: reading them all would take too long.
    """
    if is_checkpoint(path):
        return fingerprint(path)
    files = [path] if _is_file(path) else [path / CONFIG, *(path / name for name in weight_files(path))]
    whole = sum(file.stat().st_size for file in files) <= DIGEST_LIMIT_BYTES
    known = [sha256_file(file) if whole else f"{file.stat().st_size}@{file.stat().st_mtime_ns}" for file in files]
    return sha256(orjson.dumps(known)).hexdigest()


def _is_file(path: Path) -> bool:
    """Tell a GGUF file from a Hugging Face folder; anything else is a mistake of the caller."""
    if path.is_file():
        with path.open("rb") as file:
            if file.read(4) == b"GGUF":
                return True
        raise UsageError(f"{path} is no GGUF file; weights can come from {_KINDS}")
    if not path.is_dir():
        raise UsageError(f"{path} does not exist; weights can come from {_KINDS}")
    if not (path / CONFIG).is_file():
        inside = sorted(file.name for file in path.glob("*.gguf"))
        hint = f"; did you mean {path / inside[0]}?" if inside else ""
        raise ArtifactError(f"{path} has no {CONFIG}{hint}; weights can come from {_KINDS}")
    return False
