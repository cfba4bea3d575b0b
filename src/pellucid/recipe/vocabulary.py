"""What is known of published vocabularies: their files, their tokens for fill-in-the-middle, their size without a tokenizer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.gguf import read_gguf
from pellucid.core.protobuf import wire_fields

__all__ = ["FIM_NAMES", "IMPORTED_FILES", "TOKENIZER_FILES", "count_gguf_tokens", "count_tokens", "vocabulary_file"]

# Kind of an imported vocabulary → the name under which published models keep it.
TOKENIZER_FILES = {"sentencepiece": "tokenizer.model", "huggingface": "tokenizer.json"}
# The same with a word for the vocabulary inside a model's own file, which has no usual name.
IMPORTED_FILES = {**TOKENIZER_FILES, "gguf": "GGUF file"}

# Prefix, middle and suffix in released vocabularies: Stable LM 2, Qwen and StarCoder 2's successors; StarCoder; SantaCoder.
FIM_NAMES = (
    ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
    ("<fim_prefix>", "<fim_middle>", "<fim_suffix>"),
    ("<fim-prefix>", "<fim-middle>", "<fim-suffix>"),
)

# llama.cpp's llama_token_type: rows of the embedding that no token has.
_UNUSED = 5

# sentencepiece_model.proto: message ModelProto, `repeated SentencePiece pieces = 1`.
_PIECES = 1


def vocabulary_file(kind: str, path: Path) -> Path | None:
    """Return the file of a vocabulary given as a file or as a folder that holds it; None where there is none, or several."""
    if kind == "gguf" and path.is_dir():
        files = sorted(path.glob("*.gguf"))
        return files[0] if len(files) == 1 else None
    file = path / IMPORTED_FILES[kind] if path.is_dir() else path
    return file if file.is_file() else None


def count_tokens(kind: str, file: Path) -> int:
    """Return the number of ids, from 0 to the largest, that a vocabulary has. Raises `ValueError` when it is no such file."""
    if kind == "gguf":
        try:
            return count_gguf_tokens(read_gguf(file).fields)
        except ArtifactError as error:
            raise ValueError(str(error)) from error
    data = file.read_bytes()
    if kind == "sentencepiece":
        count = sum(number == _PIECES for number, _ in wire_fields(memoryview(data)))
        if not count:
            raise ValueError("it holds no pieces")
        return count
    values: Any = orjson.loads(data)
    try:
        vocabulary = values["model"]["vocab"]
        # Unigram models have a list of pieces and scores, by id.
        ids = [len(vocabulary) - 1] if isinstance(vocabulary, list) else list(vocabulary.values())
        return 1 + max(int(id_) for id_ in [*ids, *(token["id"] for token in values.get("added_tokens") or [])])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"it is not laid out as a tokenizer.json: {error!r}") from error


def count_gguf_tokens(fields: Mapping[str, Any]) -> int:
    """Return the number of ids up to the last that has a token: a file's rows may be padded. Raises `ValueError` without any."""
    tokens, kinds = fields.get("tokenizer.ggml.tokens"), fields.get("tokenizer.ggml.token_type")
    if not isinstance(tokens, list) or not tokens:
        raise ValueError("it holds no vocabulary (tokenizer.ggml.tokens)")
    if not isinstance(kinds, list) or len(kinds) != len(tokens):
        return len(tokens)
    return 1 + max((id_ for id_, kind in enumerate(kinds) if kind != _UNUSED), default=-1)
