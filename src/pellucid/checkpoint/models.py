"""A model out of a checkpoint, and a plain word when it is not the model that was asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pellucid.checkpoint.files import read_section
from pellucid.core.errors import ArtifactError
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig

__all__ = ["check_architecture", "load_model", "load_weights"]


def load_model(path: Path) -> tuple[Decoder, dict[str, Any]]:
    """Return the decoder of one checkpoint (float32, on the CPU) and the checkpoint's meta; raise `ArtifactError` when damaged."""
    weights, meta = read_section(path, "model")
    model = Decoder(ModelConfig(**meta["model"]))
    model.load_state_dict(weights)
    return model, meta


def load_weights(model: Decoder, path: Path) -> dict[str, Any]:
    """Put a checkpoint's weights into `model` and return its meta; raise `ArtifactError` for another architecture."""
    weights, meta = read_section(path, "model")
    check_architecture(path, meta, model.config)
    model.load_state_dict(weights)
    return meta


def check_architecture(path: Path, meta: Mapping[str, Any], expected: ModelConfig) -> None:
    """Raise `ArtifactError` naming every field in which the checkpoint's model differs from `expected`.

    `context_tokens` and `init_std` do not shape the weights, so they may differ: a context can be extended. A field that is younger
    than the checkpoint has its default.
    """
    found, wanted = ModelConfig(**meta["model"]).model_dump(), expected.model_dump()
    differing = [
        name
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name) and name not in ("context_tokens", "init_std")
    ]
    if differing:
        lines = [f"  {name}: the checkpoint has {found.get(name)}, the recipe says {wanted.get(name)}" for name in differing]
        raise ArtifactError(
            f"{path} holds a model of another architecture\n" + "\n".join(lines) + "\nUse the recipe it was trained with."
        )
