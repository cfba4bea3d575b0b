"""torchao's weight-only integers: a folder that transformers loads, of 8 bits a weight, or of 4 in groups."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.export.beside import ChatExport
from pellucid.export.requantized import need, write_requantized
from pellucid.model.hf_names import to_hf
from pellucid.recipe.after import TorchaoType
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["TorchaoType", "write_torchao"]

_GROUP = 32


def write_torchao(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    type: TorchaoType,
    chat: ChatExport | None = None,
) -> dict[str, Any]:
    """Write the model for transformers with the blocks' matrices as integers; return the facts.

    int8: a scale for each row. int4: a scale for each group of 32 weights of a row; torchao's packed forms of 4 bits are made and
    read on a GPU only, so each weight takes a byte of the file, and what is gained is the comparison, not room. Embedding, head,
    norms and biases are bfloat16, and so are, in int4, matrices whose rows are no multiple of 32.
    Raises `MissingExtraError` without torchao, accelerate or transformers, and else as `write_hf` does.
    """
    need(("transformers", "accelerate", "torchao"), "a torchao export")
    import transformers
    from torchao import quantization
    from torchao.quantization.granularity import PerGroup

    if type == "int8":
        how = quantization.Int8WeightOnlyConfig()
        said: dict[str, Any] = {"scales": "one for each row"}
    else:
        how = quantization.IntxWeightOnlyConfig(
            weight_dtype=getattr(torch, "int4"),  # noqa: B009  (not in its stubs)
            granularity=PerGroup(_GROUP),
        )
        said = {"group_weights": _GROUP, "file_bits": 8, "why": "torchao packs 4 bits on a GPU only"}
    settings = transformers.TorchAoConfig(how, modules_to_not_convert=_left_out(state, config) if type == "int4" else None)
    facts = write_requantized(state, config, tokenizer, folder, settings, chat=chat)
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("transformers", "torchao"))
    return {"type": type, "written_with": versions, **said, **facts}


def _left_out(state: Mapping[str, Tensor], config: ModelConfig) -> list[str] | None:
    """Modules with rows that no group divides, and the head, which transformers leaves out when it is told of no others."""
    tensors = to_hf(state, config)
    found = [name.removesuffix(".weight") for name, t in tensors.items() if t.ndim == 2 and t.shape[1] % _GROUP]
    return ["lm_head", *found] if found else None
