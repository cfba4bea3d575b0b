"""The formats of exports: what writes each of them, what reads its weights back, and the runtime that opens it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from pellucid.checkpoint.weights import import_weights
from pellucid.export.beside import ChatExport
from pellucid.export.bitsandbytes import write_llm_int8
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.export.mlx import write_mlx
from pellucid.export.openvino import write_openvino
from pellucid.export.read_back import ReadBack, read_back
from pellucid.export.read_back_bitsandbytes import read_back_bitsandbytes
from pellucid.export.read_back_mlx import read_back_mlx
from pellucid.export.read_back_openvino import read_back_openvino
from pellucid.export.read_back_torchao import read_back_torchao
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.hf import TransformersRuntime
from pellucid.export.runtimes.llama_cpp import LlamaCppRuntime
from pellucid.export.runtimes.mlx import MlxRuntime
from pellucid.export.runtimes.openvino import OpenVinoRuntime
from pellucid.export.runtimes.runtime import Runtime
from pellucid.export.torchao import write_torchao
from pellucid.model.decoder import Decoder
from pellucid.recipe.after import ExportConfig, GgufType, HfType, MlxType, OpenVinoType, TorchaoType
from pellucid.recipe.model import ModelConfig
from pellucid.stages.subjects import vocabulary_beside
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["Planned", "Source", "open_export", "planned_exports", "read_export", "write_export"]

_READERS: Mapping[str, Callable[[Path, ModelConfig], ReadBack]] = {
    "hf": read_back,
    "gguf": read_back,
    "mlx": read_back_mlx,
    "openvino": read_back_openvino,
    "torchao": read_back_torchao,
    "bitsandbytes": read_back_bitsandbytes,
}


@dataclass(frozen=True)
class Planned:
    """One export: its name in `export.json`, its format, its number type, and its place in `exports/`."""

    name: str
    format: str
    type: str
    place: str

    @property
    def number_type(self) -> str:
        """What the export is held to, as `export.limits` names it: LLM.int8 rounds inputs too, the other types weights alone."""
        return "llm.int8" if self.format == "bitsandbytes" else self.type


@dataclass(frozen=True)
class Source:
    """What every format is written from: a decoder's weights and shape, its vocabulary, and how it talks if it does.

    `name` is what a GGUF file calls the model; `hf_shard_bytes` is the largest weight file of a Hugging Face folder.
    """

    state: Mapping[str, Tensor]
    config: ModelConfig
    tokenizer: Tokenizer
    name: str
    chat: ChatExport | None = None
    hf_shard_bytes: int = 5_000_000_000


def planned_exports(config: ExportConfig) -> list[Planned]:
    """Return what the recipe asks for, in its order, each once: a folder for every type, or one GGUF file."""
    types: Mapping[str, tuple[str, ...]] = {
        "hf": (config.hf_type,),
        "gguf": config.gguf_types,
        "mlx": config.mlx_types,
        "openvino": config.openvino_types,
        "torchao": config.torchao_types,
        "bitsandbytes": ("int8",),
        "peft": ("float32",),
    }
    found = []
    for format_ in config.formats:
        for kind in types[format_]:
            name = format_ if format_ in ("hf", "peft") else f"{format_}-{kind}"
            found.append(Planned(name, format_, kind, f"gguf/model-{kind}.gguf" if format_ == "gguf" else name))
    return list(dict.fromkeys(found))


def write_export(one: Planned, path: Path, source: Source) -> dict[str, Any]:
    """Write one export at `path`, of any format but peft, and return what is to be known of it. Raises as its writer does."""
    state, config, tokenizer, chat = source.state, source.config, source.tokenizer, source.chat
    if one.format == "hf":
        shards = write_hf(
            state, config, tokenizer, path, dtype=cast(HfType, one.type), chat=chat, shard_bytes=source.hf_shard_bytes
        )
        return {"type": one.type, "weight_files": shards}
    if one.format == "gguf":
        return dict(write_gguf(state, config, tokenizer, path, dtype=cast(GgufType, one.type), name=source.name, chat=chat))
    if one.format == "mlx":
        return write_mlx(state, config, tokenizer, path, type=cast(MlxType, one.type), chat=chat)
    if one.format == "openvino":
        return write_openvino(state, config, tokenizer, path, type=cast(OpenVinoType, one.type), chat=chat)
    if one.format == "torchao":
        return write_torchao(state, config, tokenizer, path, type=cast(TorchaoType, one.type), chat=chat)
    return write_llm_int8(state, config, tokenizer, path, chat=chat)


def read_export(one: Planned, path: Path, config: ModelConfig) -> ReadBack:
    """Return the weights and the shape that lie in an export's files. Raises as its reader does."""
    return _READERS[one.format](path, config)


def open_export(one: Planned, path: Path, context_tokens: int, *, is_chat: bool) -> Runtime:
    """Open an export in the runtime that it was made for, to be used as a context. Raises as the runtimes do.

    `is_chat` is asked only where our own decoder is all that opens it: a base model's vocabulary may have brought a template.
    """
    if one.format == "gguf":
        return LlamaCppRuntime(path, context_tokens)
    if one.format == "mlx":
        return MlxRuntime(path)
    if one.format == "openvino":
        return OpenVinoRuntime(path)
    if one.format != "hf":
        return TransformersRuntime(path, dtype="auto")
    if util.find_spec("transformers") is not None:
        return TransformersRuntime(path)
    # The smallest installation has nothing else that opens the folder; the certificate names what did.
    config, weights = import_weights(path)
    again = Decoder(config)
    again.load_state_dict(weights)
    beside = vocabulary_beside(path)
    return DecoderRuntime(again, beside.tokenizer, beside.chat if is_chat else None)
