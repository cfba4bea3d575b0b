"""The shape of a published model, read from where its weights lie: what `model: {like: PATH}` stands for."""

from pathlib import Path

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.recipe.gguf_shape import read_gguf_config
from pellucid.recipe.hf_shape import CONFIG, read_hf_config
from pellucid.recipe.model import ModelConfig

__all__ = ["describe_weights", "is_gguf_file"]

_KINDS = "a Hugging Face folder (config.json and safetensors), a GGUF file or a checkpoint folder"


def describe_weights(path: Path) -> ModelConfig:
    """Return the config alone, without reading the weights; a folder's `norm_bias` is false whatever it holds.

    Raises `UsageError` when the path is neither a Hugging Face folder nor a GGUF file, and `ArtifactError` naming file and field.
    """
    return read_gguf_config(path) if is_gguf_file(path) else read_hf_config(path / CONFIG)


def is_gguf_file(path: Path) -> bool:
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
