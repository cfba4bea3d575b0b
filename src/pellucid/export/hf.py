"""A folder that `transformers` loads: weights as safetensors, config, generation config and tokenizer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from pellucid.core.files import disk_full_is_explained
from pellucid.export.beside import ChatExport, check_vocabulary, write_beside
from pellucid.model.hf_names import to_hf
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["WEIGHTS", "ChatExport", "HfType", "check_vocabulary", "write_hf"]

WEIGHTS = "model.safetensors"

HfType = Literal["float32", "bfloat16"]


def write_hf(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    dtype: HfType = "float32",
    chat: ChatExport | None = None,
) -> None:
    """Write the model and its tokenizer for `AutoModelForCausalLM` and `AutoTokenizer`; `state` has our names.

    What lies beside the weights is told at `write_beside`.
    Raises `UsageError` for a shape that no transformers class computes, and `ArtifactError` where weights, config and tokenizer
    disagree.
    """
    check_vocabulary(config, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    kind = getattr(torch, dtype)
    tensors = {name: tensor.detach().to("cpu", kind).contiguous() for name, tensor in to_hf(state, config).items()}
    with disk_full_is_explained(folder):
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        write_beside(config, tokenizer, folder, dtype=dtype, chat=chat)
