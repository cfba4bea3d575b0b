"""Adapters as peft keeps them: `adapter_config.json` and `adapter_model.safetensors`, both ways.

Of what peft's LoRA can do, plain adapters of the blocks' matrices are read, the same in every layer; everything else is refused by
field and value. A file that was written here says which weights it was trained beside, and goes with no others.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, cast, get_args

import orjson
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pellucid.adapters.lora import MODULES, add_adapters, is_adapted
from pellucid.core.errors import ArtifactError
from pellucid.core.files import disk_full_is_explained, read_json, sha256_file, write_json
from pellucid.core.safetensors import read_safetensors_header
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import BLOCK_PARTS, architecture
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.problems import show_value
from pellucid.recipe.tuning import AdapterConfig, Target

__all__ = ["load_peft", "peft_digest", "read_peft", "save_peft"]

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_TENSOR = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.([a-z_.]+)\.lora_([AB])\.weight")
_TARGETS = {BLOCK_PARTS[module]: cast(Target, target) for target, module in MODULES.items()}
_BASE_SHA256, _BASE_KEPT = "pellucid_base_sha256", "pellucid_base_kept"

_WITHOUT_EFFECT = {
    "arrow_config", "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "eva_config", "exclude_modules",
    "inference_mode", "lora_dropout", "megatron_config", "megatron_core", "peft_version", "qalora_group_size", "revision",
    "runtime_config", "task_type",
}  # fmt: skip
"""Fields that do not change what an adapter computes, or name what another field turns on; dropout acts in training only."""
_OWN = {"r", "lora_alpha", "use_rslora", "target_modules", "init_lora_weights", "peft_type"}
_UNKNOWN_BIASES = "biases are not trained here"
_REASONS = {
    "bias": _UNKNOWN_BIASES,
    "lora_bias": _UNKNOWN_BIASES,
    "use_dora": "weights are not split into magnitude and direction here",
    "modules_to_save": "modules that are trained whole are not kept in adapters here",
    "trainable_token_indices": "embeddings are not trained in adapters here",
    "rank_pattern": "all targets have one rank here",
    "alpha_pattern": "all targets have one alpha here",
    "fan_in_fan_out": "matrices are kept as (outputs, inputs) here",
    "layers_to_transform": "all layers have the same adapters here",
    "layers_pattern": "all layers have the same adapters here",
    "layer_replication": "layers are not repeated here",
    "target_parameters": "only the blocks' matrices can have adapters here",
}


def save_peft(
    state: Mapping[str, Tensor], config: ModelConfig, adapter: AdapterConfig, folder: Path, *, base: str | None = None
) -> None:
    """Write the adapters in an adapted model's state dict for `PeftModel.from_pretrained(transformers_model, folder)`.

    `base` is where peft is told to find that model. The bytes of the frozen tensors are known by one sha256, kept beside the
    adapters. Raises `UsageError` for a shape that no transformers class computes, and `DiskFullError`.
    """
    architecture(config)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for number in range(config.layers):
        for target in adapter.targets:
            ours, theirs = f"blocks.{number}.{MODULES[target]}", f"{_PREFIX}model.layers.{number}.{BLOCK_PARTS[MODULES[target]]}"
            for half in "ab":
                tensors[f"{theirs}.lora_{half.upper()}.weight"] = state[f"{ours}.lora_{half}"].detach().cpu().contiguous()
    values = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": adapter.rank,
        "lora_alpha": int(adapter.alpha) if adapter.alpha == int(adapter.alpha) else adapter.alpha,
        "use_rslora": adapter.rank_stabilized,
        "target_modules": [BLOCK_PARTS[MODULES[target]].rpartition(".")[2] for target in adapter.targets],
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "init_lora_weights": True,
        "inference_mode": True,
    }
    metadata = {"format": "pt", _BASE_SHA256: _base_sha256(state), _BASE_KEPT: adapter.quantize}
    with disk_full_is_explained(folder):
        save_file(tensors, folder / WEIGHTS, metadata=metadata)
        write_json(folder / CONFIG, values)


def load_peft(model: Decoder, folder: Path, config: AdapterConfig | None = None) -> None:
    """Put the adapters of a folder into `model`, in place: into those that it has of this `config`, or, without one, as new ones.

    Raises `ArtifactError` as `read_peft` does, where the folder's adapter is of another kind than `config`, and where it was
    trained beside other weights than the model's, as far as the file knows them.
    """
    found, tensors, base = read_peft(folder, model.config)
    if config is None:
        add_adapters(model, config := found, 0)
    assert is_adapted(model)
    differing = [
        f"{name}: the adapter has {show_value(theirs)}, the recipe says {show_value(ours)}"
        for name in ("rank", "alpha", "rank_stabilized", "targets")
        if (theirs := _plain(getattr(found, name))) != (ours := _plain(getattr(config, name)))
    ]
    if differing:
        raise ArtifactError(
            f"{folder} holds another adapter\n  " + "\n  ".join(differing) + "\nSet these values in the stage's adapter."
        )
    state = model.state_dict()
    # What was quantised has other bytes than what was not; only like can be compared with like.
    if base.get(_BASE_KEPT) == config.quantize and base[_BASE_SHA256] != (own := _base_sha256(state)):
        raise ArtifactError(
            f"{folder} was trained beside other weights than these: their sha256 is {base[_BASE_SHA256][:12]}…, that of these "
            f"{own[:12]}…; begin with the weights that it belongs to (init_from of the stage)"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            state[name].copy_(tensor)


def read_peft(folder: Path, config: ModelConfig) -> tuple[AdapterConfig, dict[str, Tensor], dict[str, str]]:
    """Return a folder's adapter: its config, its tensors (float32, our names), and what its file says about the weights below it.

    Raises `ArtifactError` with every reason, by field or tensor, why it is no adapter of a model with this config.
    """
    values = read_json(folder / CONFIG)
    if not isinstance(values, Mapping):
        raise ArtifactError(f"{folder / CONFIG} is not a mapping of fields to values")
    faults = _config_faults(values)
    if faults:
        raise ArtifactError(f"{folder / CONFIG} asks for what adapters here do not do\n  " + "\n  ".join(faults))
    theirs, metadata = _read_tensors(folder)
    tensors, targets, faults = _renamed(theirs, values, config)
    if faults:
        more = [f"and {len(faults) - 6} more"] if len(faults) > 6 else []
        raise ArtifactError(f"{folder} holds no adapter of this model\n  " + "\n  ".join(faults[:6] + more))
    adapter = AdapterConfig(
        rank=values["r"], alpha=values["lora_alpha"], rank_stabilized=bool(values.get("use_rslora")), targets=targets
    )
    return adapter, tensors, metadata


def peft_digest(folder: Path) -> str:
    """Return one digest of an adapter's two files, as a stage records its input; raise `ArtifactError` when one is missing."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing; an adapter in peft's format is {CONFIG} and {WEIGHTS}")
    return sha256(orjson.dumps([sha256_file(folder / name) for name in (CONFIG, WEIGHTS)])).hexdigest()


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, tuple) else value


def _base_sha256(state: Mapping[str, Tensor]) -> str:
    """One digest of everything in an adapted model's state dict that is frozen."""
    digest = sha256()
    for name in sorted(name for name in state if not name.endswith((".lora_a", ".lora_b"))):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(orjson.dumps([name, str(tensor.dtype), list(tensor.shape)]))
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _config_faults(values: Mapping[str, Any]) -> list[str]:
    faults = []
    if values.get("peft_type") != "LORA":
        faults.append(f"peft_type: got {show_value(values.get('peft_type'))}; only LORA can be read")
    for name in ("r", "lora_alpha"):
        value = values.get(name)
        if not isinstance(value, int if name == "r" else int | float) or isinstance(value, bool) or value <= 0:
            faults.append(f"{name}: got {show_value(value)}; must be a number above 0" + (", and whole" if name == "r" else ""))
    # The other ways of drawing first values take something away from the weights below, which the file does not hold.
    if values.get("init_lora_weights", True) not in (True, False, "gaussian"):
        faults.append(f"init_lora_weights: got {show_value(values['init_lora_weights'])}; it changes the weights below the adapter")
    for name, value in values.items():
        harmless = name in _WITHOUT_EFFECT or name in _OWN or not value or (name == "bias" and value == "none")
        if not harmless:
            faults.append(f"{name}: got {show_value(value)}; {_REASONS.get(name, 'what it does is not known here')}")
    return faults


def _read_tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    file = folder / WEIGHTS
    if not file.is_file():
        pickled = sorted(path.name for path in folder.glob("adapter_model.bin"))
        hint = f"; {pickled[0]} holds pickled code and is not opened: save the adapter as safetensors" if pickled else ""
        raise ArtifactError(f"{file} is missing{hint}")
    read_safetensors_header(file)
    try:
        with safe_open(file, framework="pt") as opened:
            # copy: a tensor that stays mapped would change, or crash, when its file does.
            tensors = {name: opened.get_tensor(name).to(torch.float32, copy=True) for name in sorted(opened.keys())}
            return tensors, opened.metadata() or {}
    except SafetensorError as error:
        raise ArtifactError(f"{file} cannot be read: {error}") from error


def _renamed(
    theirs: Mapping[str, Tensor], values: Mapping[str, Any], config: ModelConfig
) -> tuple[dict[str, Tensor], tuple[Target, ...], list[str]]:
    """Return the tensors under our names, the targets that have some, and what is wrong with them.

    Which modules have an adapter is read off the tensors: `target_modules` may be a pattern, and patterns of strangers are not run.
    """
    tensors, faults, parts = {}, [] if theirs else [f"{WEIGHTS} has no tensors"], set()
    for name, tensor in theirs.items():
        match = _TENSOR.fullmatch(name)
        target = _TARGETS.get(match[2]) if match else None
        if match is None or target is None:
            faults.append(f"{name}: only {', '.join(sorted(_TARGETS))} of a layer can have adapters")
            continue
        parts.add(target)
        tensors[f"blocks.{int(match[1])}.{MODULES[target]}.lora_{match[3].lower()}"] = tensor
    targets = tuple(target for target in get_args(Target) if target in parts)
    shapes = _shapes(config, targets, values["r"])
    layers = 1 + max((int(name.split(".")[1]) for name in tensors), default=-1)
    if layers > config.layers:
        return {}, targets, [f"it has {layers} layers, the model {config.layers}", *faults]
    faults += [f"{name} is missing" for name in shapes if name not in tensors]
    faults += [
        f"{name} has shape {tuple(tensors[name].shape)}, the model and r = {values['r']} want {shape}"
        for name, shape in shapes.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    named = values.get("target_modules")
    for module in named if isinstance(named, list) else []:
        target = next((target for part, target in _TARGETS.items() if part.endswith(f".{module}")), None)
        if target is not None and target not in targets:
            faults.append(f"target_modules: names {module}, of which the file has no tensor")
    return tensors, targets, faults


def _shapes(config: ModelConfig, targets: tuple[Target, ...], rank: int) -> dict[str, tuple[int, int]]:
    with torch.device("meta"):
        model = Decoder(config)
    shapes: dict[str, tuple[int, int]] = {}
    for number in range(config.layers):
        for target in targets:
            module = f"blocks.{number}.{MODULES[target]}"
            out, into = model.get_submodule(module).weight.shape  # type: ignore[misc]
            shapes |= {f"{module}.lora_a": (rank, into), f"{module}.lora_b": (out, rank)}
    return shapes
