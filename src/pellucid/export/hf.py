"""A folder that `transformers` loads: weights as safetensors, config, generation config and tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError
from pellucid.core.files import disk_full_is_explained, read_json, write_bytes, write_json
from pellucid.export.hf_config import hf_config
from pellucid.export.shards import SHARD_BYTES, WEIGHTS, save_shards
from pellucid.model.hf_names import to_hf
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.imported import CHAT_TEMPLATE, CONFIG
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["WEIGHTS", "ChatExport", "HfType", "check_vocabulary", "write_hf"]

HfType = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class ChatExport:
    """What other runtimes need to converse: the chat template as Jinja, and the ids that end an answer, the end of text first."""

    template: str
    stop_ids: tuple[int, ...]


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

    The end of text also begins a text, as in training. Padding is known to the tokenizer but not to the model: a padding id in
    `config.json` would freeze that row of the embedding in later fine-tuning, and it is the end of text's row. With `chat`, the
    template lies beside the tokenizer and generation ends at every id that ends an answer. Weights of more than `shard_bytes` are
    spread over several files, with an index. Returns the names of the files with weights.
    Raises `UsageError` for a shape that no transformers class computes, and `ArtifactError` where weights, config and tokenizer
    disagree.
    """
    check_vocabulary(config, tokenizer)
    tensors = to_hf(state, config)
    folder.mkdir(parents=True, exist_ok=True)
    ends = {"bos_token_id": tokenizer.eos_id, "eos_token_id": tokenizer.eos_id}
    with disk_full_is_explained(folder):
        files = save_shards(tensors, getattr(torch, dtype), folder, shard_bytes)
        write_json(folder / "config.json", hf_config(config, ends, dtype))
        stops = {"eos_token_id": list(chat.stop_ids)} if chat is not None and len(chat.stop_ids) > 1 else {}
        write_json(folder / "generation_config.json", {**ends, **stops, "pad_token_id": tokenizer.eos_id})
        tokenizer.save_for_transformers(folder, config.context_tokens)
        if chat is not None:
            _write_template(folder, chat.template)
    return files


def _write_template(folder: Path, template: str) -> None:
    """Put the template where transformers looks for it, and remove another that an imported vocabulary brought along."""
    write_bytes(folder / CHAT_TEMPLATE, template.encode())
    values = read_json(folder / CONFIG)
    if values.pop("chat_template", None) is not None:
        write_json(folder / CONFIG, values)


def check_vocabulary(config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Raise `ArtifactError` when the tokenizer has ids that the model has no row for."""
    if tokenizer.vocab_tokens > config.vocab_tokens:
        raise ArtifactError(
            f"the tokenizer has {tokenizer.vocab_tokens} ids, the model's embedding {config.vocab_tokens} rows: "
            "they do not belong together; set model.vocab_tokens to at least the tokenizer's vocab_tokens and train again"
        )
