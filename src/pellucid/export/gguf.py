"""One GGUF file that llama.cpp and what is built on it run: weights, shape, vocabulary and merges.

LayerNorm models are written as llama.cpp's `stablelm`, RMSNorm models as its `llama` or, with `qk_norm`, `qwen3`; each from the
same tensors as the Hugging Face folder. Written with `gguf`, the format owner's package.
"""

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.core.errors import MissingExtraError, PellucidWarning
from pellucid.core.files import writing
from pellucid.core.progress import progress
from pellucid.export.gguf_types import HEAD, GgufType, Mix, TypeChoice, bits_per_weight, explain_fallbacks, file_type, stored_bytes
from pellucid.export.hf import ChatExport, check_vocabulary
from pellucid.export.quantize import encode, quantizer
from pellucid.model.hf_names import architecture, to_hf
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["GgufType", "write_gguf"]

# transformers' class → llama.cpp's architecture, by its name in gguf.MODEL_ARCH.
ARCHITECTURES = {"StableLmForCausalLM": "STABLELM", "LlamaForCausalLM": "LLAMA", "Qwen3ForCausalLM": "QWEN3"}


@dataclass(frozen=True)
class _Planned:
    """A tensor of the file before it is made: what it is made of, and the type it gets."""

    theirs: str
    part: Tensor | list[Tensor]
    shape: tuple[int, ...]
    choice: TypeChoice


def write_gguf(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    tokenizer: Tokenizer,
    path: Path,
    *,
    dtype: GgufType,
    name: str,
    chat: ChatExport | None = None,
) -> Mapping[str, Any]:
    """Write the model as one GGUF file; `state` has our names, `name` is shown by runtimes. Return what each tensor became.

    Norms and biases stay float32, and so does a head in an F16 or BF16 file; `export.gguf_types` says which tensor of a quantised
    file gets which type. The result has `types` (llama.cpp's name of a tensor → its type), `counts`, `bits_per_weight` over all
    weights, `fallbacks` (tensor, width, wanted, got) where rows do not fit a type's blocks, and the versions of what wrote it; a
    `PellucidWarning` explains the fallbacks. With `chat`, runtimes render conversations with its template, and end answers where
    it says. One pass, with one tensor at a time in memory beside `state`.

    Raises `MissingExtraError` without the package gguf (for K types also libgguf), `UsageError` for a shape that llama.cpp does
    not compute, and `ArtifactError` where weights, config and tokenizer disagree or a weight does not fit the type.
    """
    gguf = _gguf()
    check_vocabulary(config, tokenizer)
    arch = gguf.MODEL_ARCH[ARCHITECTURES[architecture(config)]]
    planned = _plan(_parts(to_hf(state, config), config), gguf.get_tensor_name_map(arch, config.layers), config, dtype)
    for kind in {tensor.choice.got for tensor in planned}:
        quantizer(kind)  # is its package there, before anything is written
    weights = sum(math.prod(tensor.shape) for tensor in planned)
    with writing(path) as file, progress("GGUF", weights, "weights") as bar:
        writer = gguf.GGUFWriter(Path(file.name), gguf.MODEL_ARCH_NAMES[arch])
        with closing(writer):
            writer.add_name(name)
            writer.add_file_type(gguf.LlamaFileType[file_type(dtype)])
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            _add_shape(writer, config)
            _add_vocabulary(writer, gguf.TokenType, config, tokenizer)
            if chat is not None:
                _add_chat(writer, chat, tokenizer)
            for tensor in planned:
                kind, shape = tensor.choice.got, tensor.shape
                stored = stored_bytes(kind, shape)
                writer.add_tensor_info(tensor.choice.tensor, shape, np.dtype(np.float32), stored, gguf.GGMLQuantizationType[kind])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for tensor in planned:
                bar.note(tensor.choice.tensor)
                writer.write_tensor_data(encode(tensor.theirs, _array(tensor, config), tensor.choice.got, done=bar.advance))
    return _facts(dtype, planned)


def _add_chat(writer: Any, chat: ChatExport, tokenizer: Tokenizer) -> None:
    writer.add_chat_template(chat.template)
    for end_of_turn in [id_ for id_ in chat.stop_ids if id_ != tokenizer.eos_id][:1]:
        writer.add_eot_token_id(end_of_turn)


def _add_shape(writer: Any, config: ModelConfig) -> None:
    writer.add_context_length(config.context_tokens)
    writer.add_embedding_length(config.hidden)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.mlp_hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_dimension_count(config.rotary_channels)
    writer.add_rope_freq_base(config.rotary_base)
    writer.add_vocab_size(config.vocab_tokens)
    if config.norm == "layernorm":
        writer.add_parallel_residual(False)
        writer.add_layer_norm_eps(config.norm_eps)
    else:
        writer.add_layer_norm_rms_eps(config.norm_eps)


def _add_vocabulary(writer: Any, kinds: Any, config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Tokens by id as the vocabulary spells them. Rows of the embedding that no token has are written as unused ones."""
    vocabulary = tokenizer.vocabulary()
    rows = range(config.vocab_tokens)
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list([vocabulary.tokens.get(id_, f"[PAD{id_}]") for id_ in rows])
    names = [vocabulary.kinds.get(id_, "normal") if id_ in vocabulary.tokens else "unused" for id_ in rows]
    writer.add_token_types([kinds[name.upper()] for name in names])
    if vocabulary.scores:
        writer.add_token_scores([vocabulary.scores.get(id_, 0.0) for id_ in rows])
        writer.add_add_space_prefix(vocabulary.adds_space_prefix)
    else:
        writer.add_token_merges(list(vocabulary.merges))
    writer.add_bos_token_id(tokenizer.eos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_pad_token_id(tokenizer.eos_id)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)


def _parts(tensors: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor | list[Tensor]]:
    """Hugging Face's names → what lies under them: a tensor, or those that llama.cpp has stacked where transformers has modules."""
    found: dict[str, Tensor | list[Tensor]] = {}
    stacked: dict[str, list[Tensor]] = {}
    for theirs, tensor in tensors.items():
        module, is_one_heads, _ = theirs.partition(".norms.")
        if is_one_heads:
            stacked.setdefault(f"{module}.weight", []).append(tensor)
        else:
            found[theirs] = tensor
    if config.norm == "layernorm" and config.tied_head:
        # llama.cpp's `llama` falls back to the embedding; its `stablelm` wants the head written out.
        found["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    return found | stacked


def _plan(parts: Mapping[str, Tensor | list[Tensor]], names: Any, config: ModelConfig, dtype: GgufType) -> list[_Planned]:
    """Choose every tensor's type, in the order in which they are written."""
    written = {theirs: names.get_name(theirs, try_suffixes=(".weight", ".bias")) for theirs in parts}
    mix = Mix(dtype, config, has_head=HEAD in written.values())
    planned = []
    for theirs, part in parts.items():
        shape = tuple(part.shape) if isinstance(part, Tensor) else (len(part), *part[0].shape)
        planned.append(_Planned(theirs, part, shape, mix.choose(written[theirs], shape)))
    return planned


def _array(tensor: _Planned, config: ModelConfig) -> npt.NDArray[np.float32]:
    """Return what llama.cpp wants under the name, in float32."""
    part = tensor.part if isinstance(tensor.part, Tensor) else torch.stack(tensor.part)
    array: npt.NDArray[np.float32] = part.detach().to("cpu", torch.float32).contiguous().numpy()
    if architecture(config) == "LlamaForCausalLM" and tensor.theirs.endswith(("q_proj.weight", "k_proj.weight")):
        return _interleave(array, config.head_channels)
    return array


def _interleave(array: npt.NDArray[np.float32], head_channels: int) -> npt.NDArray[np.float32]:
    """Reorder each head's rows for rotation of neighbours: row i and row i + C/2 become rows 2i and 2i+1."""
    halves = array.reshape(-1, 2, head_channels // 2, array.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(array.shape))


def _facts(dtype: GgufType, planned: Sequence[_Planned]) -> dict[str, Any]:
    """Say what each tensor became, in the result and, where that is not what was asked for, in a warning."""
    choices = [tensor.choice for tensor in planned]
    if explained := explain_fallbacks(dtype, choices):
        warnings.warn(explained, PellucidWarning, stacklevel=3)
    weights = [math.prod(tensor.shape) for tensor in planned]
    bits = sum(bits_per_weight(choice.got) * count for choice, count in zip(choices, weights, strict=True))
    changed = [choice for choice in choices if choice.got != choice.wanted]
    packages = ("gguf", "libgguf")
    return {
        "type": dtype,
        "types": {choice.tensor: choice.got for choice in choices},
        "counts": dict(Counter(choice.got for choice in choices)),
        "bits_per_weight": bits / sum(weights),
        "fallbacks": [{"tensor": c.tensor, "width": c.width, "wanted": c.wanted, "got": c.got} for c in changed],
        "written_with": {package: metadata.version(package) for package in packages if util.find_spec(package) is not None},
    }


def _gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError("gguf", "gguf", "a GGUF export") from error
    return gguf
