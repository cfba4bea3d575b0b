"""A model out of a checkpoint, and a plain word when it is not the model that was asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from pellucid.adapters.lora import merged_state
from pellucid.checkpoint.files import read_section
from pellucid.checkpoint.weights import describe_weights, import_weights, is_checkpoint
from pellucid.core.artifacts import MANIFEST, read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import check_tensors
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.problems import show_value
from pellucid.recipe.tuning import AdapterConfig

__all__ = ["check_architecture", "check_start", "load_model", "load_weights", "read_weights"]


def load_model(path: Path) -> tuple[Decoder, dict[str, Any]]:
    """Return the decoder of one checkpoint (float32, on the CPU) and the checkpoint's meta; raise `ArtifactError` when damaged.

    Adapters are merged: it is a plain decoder in any case.
    """
    weights, meta = read_weights(path)
    config = _config_of(path, meta)
    with torch.device("meta"):
        shapes = {name: tuple(one.shape) for name, one in Decoder(config).named_parameters()}
    try:
        # Before the model is made: a config that asks for more than its weights hold costs nothing.
        check_tensors(weights, shapes)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error
    model = Decoder(config)
    model.load_state_dict(weights)
    return model, meta


def _config_of(path: Path, meta: Mapping[str, Any]) -> ModelConfig:
    """Return the model that a checkpoint's manifest describes; raise `ArtifactError` where it describes none."""
    try:
        return ModelConfig(**meta["model"])
    except (KeyError, TypeError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path / MANIFEST}: config.model describes no model that there is: {reason}") from error


def load_weights(model: Decoder, path: Path) -> None:
    """Put weights into `model`, which has no adapters: of a checkpoint folder, merged, or imported as `import_weights` does.

    Raises `ArtifactError` for another architecture, and what reading raises.
    """
    if is_checkpoint(path):
        weights, meta = read_weights(path)
        check_architecture(path, meta, model.config)
    else:
        config, weights = import_weights(path)
        check_architecture(path, {"model": config.model_dump()}, model.config)
    model.load_state_dict(weights)


def read_weights(path: Path, *, verify: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a plain decoder's state dict out of a checkpoint, adapters merged, and the checkpoint's meta."""
    weights, meta = read_section(path, "model", verify=verify)
    adapter = meta.get("adapter")  # not in checkpoints that are older than adapters
    if not adapter:
        return weights, meta
    try:
        config = AdapterConfig(**adapter)
    except (TypeError, ValidationError) as error:
        raise ArtifactError(f"{path / MANIFEST}: config.adapter describes no adapter: {' '.join(str(error).split())}") from error
    return merged_state(weights, config), meta


def check_start(path: Path, expected: ModelConfig) -> None:
    """Raise as `load_weights` does for another architecture, without reading weights: before a stage sets its old ones aside."""
    if is_checkpoint(path):
        check_architecture(path, read_manifest(path, kind="checkpoint").config, expected)
        return
    config = describe_weights(path)
    unknown = {"norm_bias": expected.norm_bias} if config.norm == "layernorm" else {}  # the weights will tell
    check_architecture(path, {"model": config.model_dump() | unknown}, expected)


def check_architecture(path: Path, meta: Mapping[str, Any], expected: ModelConfig) -> None:
    """Raise `ArtifactError` naming every field in which the model at `path` differs from `expected`, and what to set.

    `context_tokens` and `init_std` do not shape the weights, so they may differ: a context can be extended. A field that is younger
    than the checkpoint has its default.
    """
    found, wanted = _config_of(path, meta).model_dump(), expected.model_dump()
    differing = [
        name
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name) and name not in ("context_tokens", "init_std")
    ]
    if differing:
        lines = [f"  {name}: the checkpoint has {found.get(name)}, the recipe says {wanted.get(name)}" for name in differing]
        setting = ", ".join(f"{name}: {show_value(found.get(name))}" for name in differing)
        raise ArtifactError(
            f"{path} holds a model of another architecture\n" + "\n".join(lines) + "\n"
            f"Use the recipe it was trained with, or set model: {{{setting}}}"
        )
