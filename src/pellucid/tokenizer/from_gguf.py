"""The vocabulary inside a GGUF file, as the files in which it was published: a `tokenizer.json` or a SentencePiece model.

Byte-level BPE ("gpt2" there) and SentencePiece's BPE ("llama") are read, and given to the classes that read such files anyway. What
text becomes is what llama.cpp makes of it: it splits by the pattern that the file names, and normalises nothing.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import DataError, UsageError
from pellucid.core.gguf import read_gguf
from pellucid.recipe.vocabulary import TOKENIZER_FILES, count_gguf_tokens, vocabulary_file
from pellucid.tokenizer.byte_level import GPT2_PATTERN
from pellucid.tokenizer.encoder import SPLIT_PATTERN
from pellucid.tokenizer.from_huggingface import HuggingFaceTokenizer
from pellucid.tokenizer.from_sentencepiece import SentencePieceTokenizer
from pellucid.tokenizer.huggingface import BYTE_LEVEL, byte_level_json
from pellucid.tokenizer.imported import CHAT_TEMPLATE, CONFIG, ImportedFiles
from pellucid.tokenizer.piece_model import Piece, PieceModel, piece_model_bytes
from pellucid.tokenizer.vocabulary import PieceKind

__all__ = ["import_gguf", "read_gguf_vocabulary"]

# llama.cpp's llama_token_type, which counts as SentencePiece does.
_KINDS: dict[int, PieceKind] = {1: "normal", 2: "unknown", 3: "control", 4: "user_defined", 5: "unused", 6: "byte"}

_LLAMA_3 = SPLIT_PATTERN.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
# What llama.cpp does where a file names no pattern: it splits four times, each time inside the parts that it has.
_DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", GPT2_PATTERN, r"\p{N}+", "[0-9][0-9][0-9]")
_DIGITS_FIRST = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
# llama.cpp's names for split patterns (llama-vocab.cpp) → the patterns, one after the other.
_PATTERNS: dict[str, tuple[str, ...]] = {
    "default": _DEFAULT,
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4"), (GPT2_PATTERN,)),
    **dict.fromkeys(_DIGITS_FIRST, (r"\p{N}", GPT2_PATTERN)),
    **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen", "megrez", "hunyuan"), (SPLIT_PATTERN,)),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "dbrx", "smaug-bpe"), (_LLAMA_3,)),
}
# Of these, llama.cpp looks a part up whole before it merges anything.
_WHOLE_FIRST = ("llama-bpe", "llama3", "llama-v3", "falcon3")


def import_gguf(path: Path, eos: str | None) -> HuggingFaceTokenizer | SentencePieceTokenizer:
    """Return the tokenizer of a GGUF file, or of a folder with one; `eos` is the recipe's choice. Raises as reading does."""
    files = read_gguf_vocabulary(path)
    return HuggingFaceTokenizer(files, eos) if files.kind == "huggingface" else SentencePieceTokenizer(files, eos)


def read_gguf_vocabulary(path: Path) -> ImportedFiles:
    """Return the vocabulary with its end of text and its chat template, as files of the kind it was published in.

    Raises `UsageError` where there is no such file, `ArtifactError` where it cannot be read, and `DataError` naming the field for
    a vocabulary of another kind.
    """
    file = vocabulary_file("gguf", path)
    if file is None:
        raise UsageError(f"tokenizer.path: {path} is neither a GGUF file nor a folder that holds exactly one")
    fields = read_gguf(file).fields
    try:
        count = count_gguf_tokens(fields)
        return _files(fields, _spelled(fields, count))
    except (ValueError, DataError) as error:
        raise DataError(f"{file}: {error}") from error


def _spelled(fields: Mapping[str, Any], count: int) -> list[tuple[str, PieceKind]]:
    """The spelling and the kind of every id."""
    tokens = fields["tokenizer.ggml.tokens"][:count]
    kinds = fields.get("tokenizer.ggml.token_type") or [1] * count
    if not all(isinstance(token, str) for token in tokens):
        raise DataError("tokenizer.ggml.tokens: must be a list of texts")
    if not isinstance(kinds, list) or not all(isinstance(kind, int) for kind in kinds):
        raise DataError("tokenizer.ggml.token_type: must be a list of whole numbers")
    if len(set(tokens)) < count:
        twice, _ = Counter(tokens).most_common(1)[0]
        raise DataError(f"tokenizer.ggml.tokens: {twice!r} is there twice")
    return [(token, _KINDS.get(kind, "normal")) for token, kind in zip(tokens, kinds, strict=False)]


def _files(fields: Mapping[str, Any], tokens: list[tuple[str, PieceKind]]) -> ImportedFiles:
    model = fields.get("tokenizer.ggml.model")
    kinds = {"gpt2": "huggingface", "llama": "sentencepiece"}
    if model not in kinds:
        raise DataError(f"tokenizer.ggml.model: got {model!r}; vocabularies can be taken from {' and '.join(kinds)}")
    config = _config(fields, tokens)
    kind = kinds[model]
    files = {
        TOKENIZER_FILES[kind]: _tokenizer_json(fields, tokens) if model == "gpt2" else _piece_model(fields, tokens, config),
        CONFIG: orjson.dumps(config),
    }
    template = fields.get("tokenizer.chat_template")
    if isinstance(template, str):
        files[CHAT_TEMPLATE] = template.encode()
    return ImportedFiles(kind, files)


def _config(fields: Mapping[str, Any], tokens: list[tuple[str, PieceKind]]) -> dict[str, Any]:
    """The values of `tokenizer_config.json`: which tokens begin, end and pad a text, and whether they are added by themselves."""
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    ids = {name: fields.get(f"tokenizer.ggml.{theirs}_token_id") for name, theirs in names.items()}
    named = {f"{name}_token": tokens[id_][0] for name, id_ in ids.items() if isinstance(id_, int) and 0 <= id_ < len(tokens)}
    adds = {f"add_{name}_token": bool(fields.get(f"tokenizer.ggml.add_{name}_token", False)) for name in ("bos", "eos")}
    return {**named, **adds, "clean_up_tokenization_spaces": False}


def _tokenizer_json(fields: Mapping[str, Any], tokens: list[tuple[str, PieceKind]]) -> bytes:
    pre = fields.get("tokenizer.ggml.pre", "default")
    if pre not in _PATTERNS:
        raise DataError(
            f"tokenizer.ggml.pre: got {pre!r}, a split pattern that is not known here; known are {', '.join(_PATTERNS)}. Take the "
            "model's tokenizer.json instead (kind: huggingface)"
        )
    merges = fields.get("tokenizer.ggml.merges")
    if not isinstance(merges, list):
        raise DataError("tokenizer.ggml.merges: missing")
    if wrong := next((merge for merge in merges if not isinstance(merge, str) or len(merge.split(" ", 1)) != 2), None):
        raise DataError(f"tokenizer.ggml.merges: got {wrong!r:.60}; must be two tokens with a blank between")
    return byte_level_json(
        {token: id_ for id_, (token, _) in enumerate(tokens)},
        [merge.split(" ", 1) for merge in merges],
        [
            (id_, token, kind != "user_defined")
            for id_, (token, kind) in enumerate(tokens)
            if kind in ("control", "unknown", "user_defined")
        ],
        _pre_tokenizers(str(pre)),
        whole_first=pre in _WHOLE_FIRST,
    )


def _pre_tokenizers(pre: str) -> list[dict[str, Any]]:
    if pre in _DIGITS_FIRST:
        # As such vocabularies are published, so that they are known again.
        return [{"type": "Digits", "individual_digits": True}, {**BYTE_LEVEL, "use_regex": True}]
    splits = [{"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False} for regex in _PATTERNS[pre]]
    return [*splits, BYTE_LEVEL]


def _piece_model(fields: Mapping[str, Any], tokens: list[tuple[str, PieceKind]], config: dict[str, Any]) -> bytes:
    scores = fields.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) < len(tokens):
        raise DataError("tokenizer.ggml.scores: missing, or fewer than there are tokens")
    pieces = tuple(Piece(text, score, kind) for (text, kind), score in zip(tokens, scores, strict=False))
    model = PieceModel(
        pieces,
        is_bpe=True,
        normalises=False,
        adds_dummy_prefix=bool(fields.get("tokenizer.ggml.add_space_prefix", True)),
        removes_extra_whitespaces=bool(fields.get("tokenizer.ggml.remove_extra_whitespaces", False)),
    )
    return piece_model_bytes(model, {name: config.get(f"{name}_token") for name in ("unk", "bos", "eos", "pad")})
