"""What `pellucid serve` is pointed at → the model that the server answers with: its engine, its vocabulary, its chat format."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from pellucid.checkpoint.weights import is_checkpoint
from pellucid.core.errors import DataError, UsageError
from pellucid.core.files import sha256_file
from pellucid.core.progress import progress
from pellucid.generate.engine import Engine
from pellucid.recipe.gguf_shape import read_gguf_config
from pellucid.recipe.like import is_gguf_file
from pellucid.serve.llama_engine import LlamaEngine, LlamaShape
from pellucid.serve.model import ServedModel
from pellucid.stages.subjects import Target, find_target, vocabulary_beside
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["EngineShape", "open_served"]

_LONGEST_CONTEXT = 8192


@dataclass(frozen=True)
class EngineShape:
    """How the engine runs. `context_tokens` None: what the model has, up to 8192."""

    context_tokens: int | None = None
    slots: int = 4
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("--context", self.context_tokens), ("--slots", self.slots), ("--threads", self.threads)):
            if value is not None and value < 1:
                raise UsageError(f"{name} {value}: must be at least 1")


def open_served(path: Path, shape: EngineShape, name: str | None = None) -> ServedModel:
    """Return the model at a path, with its engine running: llama.cpp for a GGUF file, torch for everything else.

    Raises `UsageError` for what cannot be served, `MissingExtraError` for the package that its engine needs.
    """
    target = find_target(path)
    if not target.weights.is_file() or not is_gguf_file(target.weights):
        raise UsageError(
            f"{target.weights}: the engine for {'checkpoints' if is_checkpoint(target.weights) else 'Hugging Face folders'} is not "
            "part of this version; give a GGUF file (exports/gguf of a run)"
        )
    beside = vocabulary_beside(target.weights)
    with progress(f"Loading {target.weights.name}"):
        engine = _llama(target.weights, beside.tokenizer, shape)
    return ServedModel(
        name=name or _name(target),
        engine=engine,
        tokenizer=beside.tokenizer,
        chat=beside.chat,
        first_id=beside.tokenizer.special[beside.tokenizer.bos],
        begins_texts=beside.begins_texts,
        created=int(time.time()),
    )


def _llama(file: Path, tokenizer: Tokenizer, shape: EngineShape) -> Engine:
    config = read_gguf_config(file)
    context_tokens = shape.context_tokens or min(config.context_tokens, _LONGEST_CONTEXT)
    if context_tokens > config.context_tokens:
        raise UsageError(f"--context {context_tokens}: the model was trained for {config.context_tokens} tokens at most")
    own = [_bytes(tokenizer, id_) for id_ in range(config.vocab_tokens)]
    threads = shape.threads or os.cpu_count() or 1
    return LlamaEngine(file, own, LlamaShape(context_tokens, shape.slots, threads), sha256_file(file))


def _bytes(tokenizer: Tokenizer, id_: int) -> bytes:
    try:
        return tokenizer.decode_bytes([id_])
    except DataError:
        return b"\xff"  # a row without a token


def _name(target: Target) -> str:
    return f"{target.run.resolve().name}-{target.label}" if target.run is not None else target.label
