"""What `pellucid serve` is pointed at → the model that the server answers with: its engine, its vocabulary, its chat format."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch

from pellucid.core.artifacts import MANIFEST
from pellucid.core.errors import ArtifactError, DataError, UsageError
from pellucid.core.files import sha256_file
from pellucid.core.progress import progress
from pellucid.evals.contamination import open_training_text
from pellucid.evals.local import LocalModel
from pellucid.evals.origins import TrainingOrigins
from pellucid.export.runtimes.strangers import check_gguf
from pellucid.generate.columns import ColumnsDecoder
from pellucid.generate.int8 import Int8Decoder
from pellucid.generate.proposer import Proposer
from pellucid.generate.torch_engine import TorchEngine
from pellucid.model.decoder import Decoder
from pellucid.recipe.gguf_shape import read_gguf_config
from pellucid.recipe.like import is_gguf_file
from pellucid.serve.llama_engine import LlamaEngine, LlamaShape
from pellucid.serve.model import ServedModel
from pellucid.stages.subjects import Target, find_target, open_model, vocabulary_beside
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.train.device import DeviceKind

__all__ = ["WEIGHTS", "EngineShape", "Weights", "fast_decoder", "open_served"]

Weights = Literal["float32", "int8"]
WEIGHTS: tuple[Weights, ...] = get_args(Weights)

_LONGEST_CONTEXT = 8192


@dataclass(frozen=True)
class EngineShape:
    """How the engine runs. `context_tokens` None: what the model has, up to 8192.

    `weights` is the type that torch holds matrices in, and `draft` a smaller model of the same vocabulary that proposes tokens.
    `device` is where torch computes.
    """

    context_tokens: int | None = None
    slots: int = 4
    threads: int | None = None
    weights: Weights = "float32"
    draft: Path | None = None
    device: DeviceKind = "auto"

    def __post_init__(self) -> None:
        for name, value in (("--context", self.context_tokens), ("--slots", self.slots), ("--threads", self.threads)):
            if value is not None and value < 1:
                raise UsageError(f"{name} {value}: must be at least 1")


def open_served(path: Path, shape: EngineShape, name: str | None = None) -> ServedModel:
    """Return the model at a path, with its engine running: llama.cpp for a GGUF file, torch for everything else.

    Raises `UsageError` for what cannot be served, `MissingExtraError` for the package that its engine needs.
    """
    target = find_target(path)
    with progress(f"Loading {target.weights.name}"):
        own_name = name or _name(target)
        is_gguf = target.weights.is_file() and is_gguf_file(target.weights)
        if is_gguf:
            _check_for_llama_cpp(shape)
        model = _with_llama_cpp(target.weights, shape, own_name) if is_gguf else _with_torch(target, shape, own_name)
    return replace(model, origins=_origins(target.run))


def _origins(run: Path | None) -> TrainingOrigins | str:
    """Return what finds words in the training data of the run that a target lies in, or why there is none."""
    if run is None:
        return "the model that is served lies in no run"
    if not (run / "shards" / MANIFEST).is_file():
        return f"{run.resolve().name} has no shards: it learns from conversations alone, or they were removed"
    try:
        return TrainingOrigins(open_training_text(run))
    except ArtifactError as error:
        return str(error)


def _with_torch(target: Target, shape: EngineShape, name: str) -> ServedModel:
    if shape.threads is not None:
        torch.set_num_threads(shape.threads)
    opened = open_model(target, shape.device)
    engine = TorchEngine(
        # One or two rows at a time need no second copy of the matrices; proposals are read several at once.
        fast_decoder(opened.model, shape.weights, packed=shape.slots > 2 or shape.draft is not None),
        slots=shape.slots,
        context_tokens=_context(shape, opened.context_tokens),
        proposer=None if shape.draft is None else Proposer(_draft(shape.draft, opened, shape)),
        identity={**opened.identity, "weights": shape.weights, "draft": None if shape.draft is None else shape.draft.name},
    )
    first_id = opened.tokenizer.eos_id if opened.first_id is None else opened.first_id
    return ServedModel(name, engine, opened.tokenizer, opened.chat_format, first_id, opened.begins_texts, int(time.time()))


def fast_decoder(model: Decoder, weights: Weights, *, packed: bool = True) -> Decoder:
    """Return the model in the form in which its device writes fastest; `packed` for several sequences at once (`ColumnsDecoder`).

    Raises `CannotDoError` for 8 bits where there is no such.
    """
    if weights == "int8":
        return Int8Decoder(model)
    return ColumnsDecoder(model, packed=packed) if model.head_weight.device.type == "cpu" else model


def _draft(path: Path, large: LocalModel, shape: EngineShape) -> Decoder:
    """Return the small model at a path. Raises `UsageError` where its vocabulary is another."""
    small = open_model(find_target(path), shape.device)
    own, others = ((one.tokenizer.special, one.model.config.vocab_tokens) for one in (large, small))
    if own != others or any(_bytes(large.tokenizer, id_) != _bytes(small.tokenizer, id_) for id_ in range(own[1])):
        raise UsageError(
            f"--draft {path}: its vocabulary ({others[1]} tokens) is not that of the served model ({own[1]} tokens); "
            "give a model that was trained with the same tokenizer"
        )
    return fast_decoder(small.model, shape.weights, packed=False)


def _check_for_llama_cpp(shape: EngineShape) -> None:
    if shape.weights != "float32":
        raise UsageError(
            f"--weights {shape.weights}: llama.cpp runs a GGUF file with the types that it holds; serve a file of another type "
            "(gguf_types in the recipe), or the run itself"
        )
    if shape.draft is not None:
        raise UsageError(
            f"--draft {shape.draft}: only torch takes proposals from a smaller model here, and llama.cpp runs a GGUF file; "
            "serve the run or its Hugging Face export"
        )


def _with_llama_cpp(file: Path, shape: EngineShape, name: str) -> ServedModel:
    # llama.cpp reads the template when it opens the file, and would end this process for sizes that it does not like.
    check_gguf(file)
    beside, config = vocabulary_beside(file), read_gguf_config(file)
    tokenizer = beside.tokenizer
    own = [_bytes(tokenizer, id_) for id_ in range(config.vocab_tokens)]
    llama = LlamaShape(_context(shape, config.context_tokens), shape.slots, shape.threads or os.cpu_count() or 1)
    engine = LlamaEngine(file, own, llama, sha256_file(file))
    first_id = tokenizer.special[tokenizer.bos]
    return ServedModel(name, engine, tokenizer, beside.chat, first_id, beside.begins_texts, int(time.time()))


def _context(shape: EngineShape, most: int) -> int:
    tokens = shape.context_tokens or min(most, _LONGEST_CONTEXT)
    if tokens > most:
        raise UsageError(f"--context {tokens}: the model was trained for {most} tokens at most")
    return tokens


def _bytes(tokenizer: Tokenizer, id_: int) -> bytes:
    try:
        return tokenizer.decode_bytes([id_])
    except DataError:
        return b"\xff"  # a row without a token


def _name(target: Target) -> str:
    return f"{target.run.resolve().name}-{target.label}" if target.run is not None else target.label
