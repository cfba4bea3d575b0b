"""Folders that transformers loads with integers for matrices: written as a plain folder, quantised by transformers, saved again."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import MissingExtraError
from pellucid.core.files import disk_full_is_explained
from pellucid.core.progress import progress
from pellucid.export.beside import ChatExport
from pellucid.export.half import finite
from pellucid.export.hf import write_hf
from pellucid.export.remarks import IMPORTED, without_remarks
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["need", "write_requantized"]

_CONFIG = "config.json"


def need(packages: tuple[str, ...], purpose: str) -> None:
    """Raise `MissingExtraError` for the first of the packages that is not installed."""
    for package in packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError as error:
            raise MissingExtraError(package, "quant", purpose) from error


def write_requantized(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    tokenizer: Tokenizer,
    folder: Path,
    settings: Any,
    *,
    chat: ChatExport | None = None,
) -> dict[str, Any]:
    """Write a folder whose matrices transformers has quantised by `settings`, one of its own configs; the rest is bfloat16.

    Return bytes and, by type, the matrices that were quantised and the names of those that were not. Raises as `write_hf` does,
    and `ArtifactError` where a weight is not finite.
    """
    import transformers

    state = {name: finite(name, tensor) for name, tensor in state.items()}
    with (
        progress(folder.name, 3, "steps") as bar,
        disk_full_is_explained(folder),
        tempfile.TemporaryDirectory(dir=_made(folder.parent), prefix=".", suffix=".part") as plain,
        _quiet(transformers),
    ):
        write_hf(state, config, tokenizer, Path(plain), dtype="bfloat16", chat=chat)
        bar.advance()
        bar.note("quantising")
        model = transformers.AutoModelForCausalLM.from_pretrained(
            plain, quantization_config=settings, dtype=torch.bfloat16, device_map="cpu", local_files_only=True
        )
        bar.advance()
        bar.note("writing")
        model.save_pretrained(_made(folder))
        # What lies beside the weights stays ours, but for the config, which now says how the weights are to be read.
        for file in Path(plain).iterdir():
            if file.suffix != ".safetensors" and file.name not in (_CONFIG, "model.safetensors.index.json"):
                shutil.copyfile(file, folder / file.name)
        bar.advance()
    return {"weight_bytes": sum(file.stat().st_size for file in folder.glob("*.safetensors"))} | _kinds(model)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _kinds(model: Any) -> dict[str, Any]:
    """Which matrices became integers: torchao and bitsandbytes give them types of tensors of their own."""
    quantised: list[str] = []
    kept: list[dict[str, Any]] = []
    for name, parameter in model.named_parameters():
        if parameter.ndim != 2:
            continue
        if type(parameter) is torch.nn.Parameter and type(parameter.data) is Tensor and parameter.is_floating_point():
            kept.append({"tensor": name, "shape": list(parameter.shape), "got": str(parameter.dtype).removeprefix("torch.")})
        else:
            quantised.append(name)
    return {"quantised_matrices": len(quantised), "kept": kept}


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence bars and remarks that would break into ours; both are as before afterwards."""
    verbosity = transformers.utils.logging.get_verbosity()
    hidden: Callable[[], None] = transformers.utils.logging.disable_progress_bar
    hidden()
    transformers.utils.logging.set_verbosity_error()
    try:
        with without_remarks("bitsandbytes", *IMPORTED):
            yield
    finally:
        transformers.utils.logging.set_verbosity(verbosity)
