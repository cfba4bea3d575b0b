"""What is looked at in an export before its runtime opens it: that nothing in it names code, other files, or work without an end.

A certificate is repeated on folders that may have been altered, or that somebody else wrote. The runtimes' own defaults are careful
now, and have not always been; templates they render without a bound.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from pellucid.checkpoint.hf_folder import weight_files
from pellucid.core.errors import ArtifactError, DataError, UsageError
from pellucid.core.files import read_bytes, read_json
from pellucid.core.safetensors import read_safetensors_header
from pellucid.export.openvino import GRAPH
from pellucid.export.runtimes.runtime import Message
from pellucid.recipe.gguf_shape import check_gguf_fields
from pellucid.recipe.model import MOST
from pellucid.tokenizer.chat_template import ChatTemplate
from pellucid.tokenizer.imported import CHAT_TEMPLATE, CONFIG
from pellucid.tokenizer.template_work import RefusalError
from pellucid.tokenizer.tokenizer_json import check_tokenizer_json

__all__ = ["check_folder", "check_gguf", "check_rendering", "check_template"]

_CONFIGS = ("config.json", "generation_config.json", CONFIG)
# Fields by which a folder has modules of its own, or of the installation, imported.
_CODE = ("auto_map", "model_file", "custom_pipelines", "chat_template_type", "tool_parser_type", "custom_generate")
_SIZES = {
    "num_hidden_layers": MOST["layers"],
    "vocab_size": MOST["vocab_tokens"],
    "max_position_embeddings": MOST["context_tokens"],
    "hidden_size": MOST["hidden"],
    "intermediate_size": MOST["mlp_hidden"],
    "num_attention_heads": 2**16,
    "num_key_value_heads": 2**16,
}
_PROBE: Sequence[Message] = ({"role": "user", "content": "Is it so?"},)
# What a template may ask of a rendering, and what is in none of ours.
_TOKENS = {"bos_token": "", "eos_token": "", "add_generation_prompt": True}


def check_folder(folder: Path) -> None:
    """Refuse a folder in Hugging Face's layout, of whatever runtime, that a program should not be given. Raises `ArtifactError`."""
    for name in _CONFIGS:
        if (folder / name).exists() or (folder / name).is_symlink():
            _check_config(folder / name, read_json(folder / name))
    if not (folder / GRAPH).exists():
        for name in weight_files(folder):
            read_safetensors_header(folder / name)
    elif b"<!DOCTYPE" in read_bytes(folder / GRAPH):
        raise ArtifactError(f"{folder / GRAPH}: a document type declaration; graphs have none, and entities are not read")
    if (folder / "tokenizer.json").exists():
        values = read_json(folder / "tokenizer.json")
        try:
            check_tokenizer_json(values if isinstance(values, Mapping) else {})
        except DataError as error:
            raise ArtifactError(f"{folder}: {error}") from error
    for source in _templates(folder):
        check_template(folder / CHAT_TEMPLATE, source)


def check_gguf(file: Path) -> None:
    """Refuse a GGUF file whose head does not hold together, or whose template never ends. Raises `ArtifactError`."""
    template = check_gguf_fields(file).get("tokenizer.chat_template")
    if isinstance(template, str):
        check_template(file, template)


def check_template(file: Path, source: str) -> None:
    """Refuse a template that does not compile, or that the sandbox of our own chat format stops. Raises `ArtifactError`."""
    try:
        check_rendering(source, _PROBE)
    except (UsageError, DataError) as error:
        # A template may want another conversation, and says so; one that fails here may never end elsewhere.
        if not isinstance(error.__cause__, RefusalError):
            raise ArtifactError(f"{file}: {error}") from error


def check_rendering(source: str, messages: Sequence[Message]) -> None:
    """Render a conversation in our sandbox, which counts what it costs, before a program renders it without counting.

    Raises `UsageError` for what the sandbox withholds or stops, `DataError` where the template refuses the conversation.
    """
    _compiled(source).render([dict(message) for message in messages], _TOKENS)


@lru_cache(maxsize=8)
def _compiled(source: str) -> ChatTemplate:
    """Return the template of an export, whose conversations are many."""
    return ChatTemplate(source, "of the export", datetime(2024, 1, 1))


def _check_config(file: Path, values: Any) -> None:
    if not isinstance(values, Mapping):
        raise ArtifactError(f"{file} is not a mapping of fields to values")
    for name in _CODE:
        if values.get(name):
            raise ArtifactError(f"{file}: {name}: got {values[name]!r:.120}; code is not taken from a model's folder")
    for name, most in _SIZES.items():
        value = values.get(name)
        if isinstance(value, int | float) and not 0 < value <= most:
            raise ArtifactError(f"{file}: {name}: got {value!r:.40}; must be a whole number from 1 to {most}")


def _templates(folder: Path) -> list[str]:
    """The folder's chat templates, wherever runtimes look for them."""
    found: list[Any] = []
    if (folder / CHAT_TEMPLATE).exists():
        found.append(read_bytes(folder / CHAT_TEMPLATE).decode(errors="replace"))
    named = read_json(folder / CONFIG).get("chat_template") if (folder / CONFIG).exists() else None
    several = named if isinstance(named, list) else [named]
    found += [one.get("template") if isinstance(one, dict) else one for one in several]
    return [one for one in found if isinstance(one, str)]
