"""LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339): a folder of 8-bit matrices that transformers runs through bitsandbytes."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.export.beside import ChatExport
from pellucid.export.requantized import need, write_requantized
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["write_llm_int8"]

_OUTLIER = 6.0
"""Activations from this size on are multiplied in 16 bits, as the paper has it."""


def write_llm_int8(
    state: Mapping[str, Tensor], config: ModelConfig, tokenizer: Tokenizer, folder: Path, *, chat: ChatExport | None = None
) -> dict[str, Any]:
    """Write the model for transformers with the blocks' matrices as 8-bit integers and a scale for each row; return the facts.

    Embedding, head, norms and biases are bfloat16. Activations are rounded to 8 bits when it runs, but for outliers, so what it
    computes is further from the model than the weights are. Raises `MissingExtraError` without bitsandbytes, accelerate or
    transformers, and else as `write_hf` does.
    """
    need(("transformers", "accelerate", "bitsandbytes"), "an LLM.int8 export")
    import transformers

    settings: Any = transformers.BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_8bit=True, llm_int8_threshold=_OUTLIER
    )
    facts = write_requantized(state, config, tokenizer, folder, settings, chat=chat)
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("transformers", "bitsandbytes"))
    return {"type": "llm.int8", "written_with": versions, "outlier_threshold": _OUTLIER, **facts}
