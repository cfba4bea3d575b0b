"""A Hugging Face folder → `ModelConfig` and our state dict: `config.json` beside safetensors, in one file or in shards.

What the config must say is told by `recipe/hf_shape.py`. Nothing pickled is ever opened.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pellucid.core.errors import ArtifactError, PellucidError
from pellucid.core.files import read_json
from pellucid.core.safetensors import read_safetensors_header
from pellucid.model.hf_names import from_hf, hf_names
from pellucid.recipe.hf_shape import CONFIG, read_hf_config
from pellucid.recipe.model import ModelConfig

__all__ = ["CONFIG", "all_under_our_names", "read_hf_config", "read_hf_folder", "read_hf_tensors", "weight_files"]

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TYPES = ("F32", "F16", "BF16")


def read_hf_folder(folder: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Return the model's config and its weights (float32, on the CPU, our names).

    transformers' StableLM norms always have a bias: `norm_bias` is true when one of them is not zero.
    Raises `ArtifactError` naming file and field or tensor: config or shard missing, file cut short, a tensor missing, unknown, of
    another shape or of a type that is no plain float, a model that the decoder cannot represent.
    """
    config = read_hf_config(folder / CONFIG)
    state = {name: tensor for name, _, tensor in _read_tensors(folder)}
    if config.norm == "layernorm":
        biases = (tensor for name, tensor in state.items() if name.endswith("norm.bias"))
        config = config.model_copy(update={"norm_bias": any(bool(bias.any()) for bias in biases)})
    try:
        return config, from_hf(state, config)
    except PellucidError as error:
        raise ArtifactError(f"{folder}: {error}") from error


def read_hf_tensors(folder: Path) -> tuple[ModelConfig, dict[str, Tensor], dict[str, str]]:
    """Return the model's config, its weights as `read_hf_folder` does, and each one's type in small letters (bf16).

    Every tensor is there: a tied head that is written out as `head.weight`, and the biases of norms though they be zeros. A tensor
    of ours that several files' tensors make up has the type of the first. Raises as `read_hf_folder` does.
    """
    config = read_hf_config(folder / CONFIG)
    state: dict[str, Tensor] = {}
    kinds: dict[str, str] = {}
    for name, kind, tensor in _read_tensors(folder):
        state[name], kinds[name] = tensor, kind.lower()
    tied = config.model_copy(update={"tied_head": config.tied_head and "lm_head.weight" not in state})
    return config, *all_under_our_names(folder, state, kinds, tied)


def all_under_our_names(
    folder: Path, state: Mapping[str, Tensor], kinds: Mapping[str, str], config: ModelConfig
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a folder's tensors under our names, and the type of each; biases of norms count where they are written.

    Raises `ArtifactError` where they are not those that a decoder of this config has.
    """
    has_biases = config.norm == "layernorm" and "model.norm.bias" in state
    written = config.model_copy(update={"norm_bias": has_biases})
    try:
        ours, names = from_hf(state, written), hf_names(written)
    except PellucidError as error:
        raise ArtifactError(f"{folder}: {error}") from error
    return ours, {name: kinds[names[name][0]] for name in ours}


def weight_files(folder: Path) -> dict[str, list[str]]:
    """Return the folder's safetensors files by name, each with the tensors that the index expects in it (none without an index).

    Raises `ArtifactError` when there are none, when one is missing, or when the index is not one.
    """
    if (folder / _SINGLE).is_file():
        return {_SINGLE: []}
    if not (folder / _INDEX).is_file():
        pickled = sorted(file.name for file in folder.glob("*.bin"))
        hint = f"; {pickled[0]} holds pickled code and is not opened: save the model as safetensors" if pickled else ""
        raise ArtifactError(f"{folder} has neither {_SINGLE} nor {_INDEX}{hint}")
    index = read_json(folder / _INDEX)
    places = index.get("weight_map") if isinstance(index, Mapping) else None
    if not isinstance(places, Mapping) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ArtifactError(f"{folder / _INDEX}: weight_map must be a mapping of tensors to files")
    files: dict[str, list[str]] = {}
    for tensor, name in places.items():
        files.setdefault(name, []).append(tensor)
    for name in files:
        if Path(name).name != name:
            raise ArtifactError(f"{folder / _INDEX}: weight_map: got {name!r}; must be the name of a file beside it")
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing; {_INDEX} expects {len(files[name])} tensors in it")
    return files


def _read_tensors(folder: Path) -> Iterator[tuple[str, str, Tensor]]:
    """Yield every tensor's own name, its type as the file writes it, and its values in float32."""
    for name, expected in weight_files(folder).items():
        file = folder / name
        read_safetensors_header(file)
        try:
            with safe_open(file, framework="pt") as opened:
                present = set(opened.keys())
                absent, extra = sorted(set(expected) - present), sorted(present - set(expected)) if expected else []
                if absent or extra:
                    what = f"lacks {absent[0]}" if absent else f"holds {extra[0]}"
                    raise ArtifactError(f"{file} {what}, against {_INDEX}")
                for tensor in sorted(present):
                    # Old Llama files carry their rotary tables, which follow from rope_theta; transformers leaves them out too.
                    if not tensor.endswith("rotary_emb.inv_freq"):
                        yield tensor, *_float32(file, tensor, opened)
        except SafetensorError as error:
            raise ArtifactError(f"{file} cannot be read: {error}") from error


def _float32(file: Path, name: str, opened: Any) -> tuple[str, Tensor]:
    kind: str = opened.get_slice(name).get_dtype()
    if kind not in _TYPES:
        raise ArtifactError(f"{file}: {name} has type {kind}; weights can be imported from {', '.join(_TYPES)}")
    # copy: a tensor that stays mapped would change, or crash, when its file does.
    tensor: Tensor = opened.get_tensor(name)
    return kind, tensor.to(torch.float32, copy=True)
