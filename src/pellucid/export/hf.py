"""A folder that `transformers` loads: weights as safetensors, config, generation config and tokenizer."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pellucid.core.files import disk_full_is_explained
from pellucid.export.beside import ChatExport, check_vocabulary, write_beside
from pellucid.export.shards import SHARD_BYTES, WEIGHTS, save_shards
from pellucid.model.hf_names import to_hf
from pellucid.recipe.after import HfType
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["WEIGHTS", "ChatExport", "HfType", "check_vocabulary", "write_hf"]


def write_hf(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    dtype: HfType = "float32",
    chat: ChatExport | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> list[str]:
    """Write the model and its tokenizer for `AutoModelForCausalLM` and `AutoTokenizer`; `state` has our names.

    What lies beside the weights is told at `write_beside`. Weights of more than `shard_bytes` are spread over several files, with
    an index. Returns the names of the files with weights.
    Raises `UsageError` for a shape that no transformers class computes, and `ArtifactError` where weights, config and tokenizer
    disagree.
    """
    check_vocabulary(config, tokenizer)
    tensors = to_hf(state, config)
    folder.mkdir(parents=True, exist_ok=True)
    with disk_full_is_explained(folder):
        files = save_shards(tensors, getattr(torch, dtype), folder, shard_bytes)
        write_beside(config, tokenizer, folder, dtype=dtype, chat=chat)
    return files
