"""One GGUF file that llama.cpp and what is built on it run: weights, shape, vocabulary and merges.

LayerNorm models are written as llama.cpp's `stablelm`, RMSNorm models as its `llama` or, with `qk_norm`, `qwen3`; each from the
same tensors as the Hugging Face folder. Written with `gguf`, the format owner's package.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.core.files import disk_full_is_explained
from pellucid.export.hf import ChatExport, check_vocabulary
from pellucid.model.hf_names import architecture, to_hf
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["GgufType", "write_gguf"]

GgufType = Literal["F32", "F16"]

HEAD = "lm_head.weight"

# transformers' class → llama.cpp's architecture, by its name in gguf.MODEL_ARCH.
ARCHITECTURES = {"StableLmForCausalLM": "STABLELM", "LlamaForCausalLM": "LLAMA", "Qwen3ForCausalLM": "QWEN3"}


def write_gguf(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    tokenizer: Tokenizer,
    path: Path,
    *,
    dtype: GgufType,
    name: str,
    chat: ChatExport | None = None,
) -> None:
    """Write the model as one GGUF file; `state` has our names, `name` is shown by runtimes. Norms, biases and a head stay float32.

    With `chat`, runtimes render conversations with its template, and end answers where it says.

    Raises `MissingExtraError` without the package gguf, `UsageError` for a shape that llama.cpp does not compute, and
    `ArtifactError` where weights, config and tokenizer disagree or a weight does not fit the type.
    """
    gguf = _gguf()
    check_vocabulary(config, tokenizer)
    tensors = to_hf(state, config)
    arch = gguf.MODEL_ARCH[ARCHITECTURES[architecture(config)]]
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk_full_is_explained(path):
        writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
        writer.add_name(name)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32 if dtype == "F32" else gguf.LlamaFileType.MOSTLY_F16)
        _add_shape(writer, config)
        _add_vocabulary(writer, gguf.TokenType, config, tokenizer)
        if chat is not None:
            writer.add_chat_template(chat.template)
            for end_of_turn in [id_ for id_ in chat.stop_ids if id_ != tokenizer.eos_id][:1]:
                writer.add_eot_token_id(end_of_turn)
        names = gguf.get_tensor_name_map(arch, config.layers)
        for theirs, array in _arrays(tensors, config):
            writer.add_tensor(names.get_name(theirs, try_suffixes=(".weight", ".bias")), _cast(theirs, array, dtype))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError("gguf", "gguf", "a GGUF export") from error
    return gguf


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


def _arrays(tensors: Mapping[str, Tensor], config: ModelConfig) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Yield Hugging Face's names with what llama.cpp wants under them."""
    heads: dict[str, list[npt.NDArray[np.float32]]] = {}
    for theirs, tensor in tensors.items():
        array: npt.NDArray[np.float32] = tensor.detach().to("cpu").float().numpy()
        module, is_one_heads, _ = theirs.partition(".norms.")
        if is_one_heads:
            heads.setdefault(f"{module}.weight", []).append(array)
            continue
        if architecture(config) == "LlamaForCausalLM" and theirs.endswith(("q_proj.weight", "k_proj.weight")):
            array = _interleave(array, config.head_channels)
        yield theirs, array
    for theirs, arrays in heads.items():
        yield theirs, np.stack(arrays)
    if config.norm == "layernorm" and config.tied_head:
        # llama.cpp's `llama` falls back to the embedding; its `stablelm` wants the head written out.
        yield HEAD, tensors["model.embed_tokens.weight"].detach().to("cpu").float().numpy()


def _interleave(array: npt.NDArray[np.float32], head_channels: int) -> npt.NDArray[np.float32]:
    """Reorder each head's rows for rotation of neighbours: row i and row i + C/2 become rows 2i and 2i+1."""
    halves = array.reshape(-1, 2, head_channels // 2, array.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(array.shape))


def _cast(name: str, array: npt.NDArray[np.float32], dtype: GgufType) -> npt.NDArray[Any]:
    if not np.isfinite(array).all():
        raise ArtifactError(f"{name} holds values that are not finite; export an earlier checkpoint")
    # The head's rounding would reach the logits as it is, so it stays float32, as in llama.cpp's own mixed types.
    if dtype == "F32" or array.ndim == 1 or "norm" in name or name == HEAD:
        return array
    largest = float(np.abs(array).max(initial=0.0))
    if largest > float(np.finfo(np.float16).max):
        raise ArtifactError(f"{name} reaches {largest:.4g}, F16 ends at 65504: set export.gguf_type: F32")
    return array.astype(np.float16)
