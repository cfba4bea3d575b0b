"""The shape of a published model, read from where its weights lie: what `model: {like: PATH}` stands for."""

import struct
from pathlib import Path

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.safetensors import read_safetensors_header
from pellucid.recipe.gguf_shape import read_gguf_config
from pellucid.recipe.hf_shape import CONFIG, read_hf_config
from pellucid.recipe.model import ModelConfig

__all__ = ["describe_weights", "has_norm_bias", "is_gguf_file"]

_KINDS = "a Hugging Face folder (config.json and safetensors), a GGUF file or a checkpoint folder"


def describe_weights(path: Path) -> ModelConfig:
    """Return the config alone, without reading the weights; a folder's `norm_bias` is false whatever it holds.

    Raises `UsageError` when the path is neither a Hugging Face folder nor a GGUF file, and `ArtifactError` naming file and field.
    """
    return read_gguf_config(path) if is_gguf_file(path) else read_hf_config(path / CONFIG)


def has_norm_bias(folder: Path) -> bool | None:
    """Tell whether a norm in a folder's safetensors has a bias that is not zero, which its config does not say.

    Only these few bytes are read, as the format lays them out: a length, a JSON header, then the tensors. None when there are no
    such files, or none that can be read.
    """
    found = False
    files = sorted(folder.glob("model*.safetensors"))
    try:
        for file in files:
            entries = read_safetensors_header(file)
            with file.open("rb") as opened:
                (length,) = struct.unpack("<Q", opened.read(8))
                for name, entry in entries.items():
                    if name.endswith("norm.bias") and not found:
                        start, end = entry["data_offsets"]
                        opened.seek(8 + length + start)
                        # Zero is all zeros in every type, but for a sign.
                        found = any(byte not in (0, 0x80) for byte in opened.read(end - start))
    except (OSError, ArtifactError):
        return None
    return found if files else None


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
