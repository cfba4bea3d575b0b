"""What lies beside the weights in a folder of Hugging Face's layout: config, generation config, tokenizer and chat template."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_bytes, write_json
from pellucid.export.hf_config import hf_config
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.imported import CHAT_TEMPLATE, CONFIG
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["ChatExport", "check_vocabulary", "write_beside"]


@dataclass(frozen=True)
class ChatExport:
    """What other runtimes need to converse: the chat template as Jinja, and the ids that end an answer, the end of text first."""

    template: str
    stop_ids: tuple[int, ...]


def write_beside(
    config: ModelConfig,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    dtype: str,
    chat: ChatExport | None = None,
    changed: Mapping[str, Any] | None = None,
) -> None:
    """Write `config.json` with the weights' type, `generation_config.json`, the tokenizer's files and, with `chat`, the template.

    The end of text also begins a text, as in training. Padding is known to the tokenizer but not to the model: a padding id in
    `config.json` would freeze that row of the embedding in later fine-tuning, and it is the end of text's row. With `chat`,
    generation ends at every id that ends an answer. `changed` are values of `config.json` that this format has otherwise.
    """
    ends = {"bos_token_id": tokenizer.eos_id, "eos_token_id": tokenizer.eos_id}
    write_json(folder / "config.json", {**hf_config(config, ends, dtype), **(changed or {})})
    stops = {"eos_token_id": list(chat.stop_ids)} if chat is not None and len(chat.stop_ids) > 1 else {}
    write_json(folder / "generation_config.json", {**ends, **stops, "pad_token_id": tokenizer.eos_id})
    tokenizer.save_for_transformers(folder, config.context_tokens)
    if chat is not None:
        _write_template(folder, chat.template)


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
