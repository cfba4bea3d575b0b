"""A vocabulary as the formats of other runtimes describe it, whatever kind it is of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["FACTS", "PieceKind", "Vocabulary"]

# The file in a tokenizer's folder that says what kind it is of.
FACTS = "pellucid_tokenizer.json"

PieceKind = Literal["normal", "unknown", "control", "user_defined", "unused", "byte"]


@dataclass(frozen=True)
class Vocabulary:
    """What llama.cpp needs to read text with a vocabulary.

    `model` is its name for the algorithm: `gpt2` is byte-level BPE by `merges` with the split pattern called `pre`, `llama` is
    SentencePiece's BPE by `scores`. `tokens` are spelled by id; `kinds` names the ids that are no ordinary tokens.
    """

    model: Literal["gpt2", "llama"]
    tokens: Mapping[int, str]
    kinds: Mapping[int, PieceKind]
    pre: str = "default"
    merges: Sequence[str] = ()
    scores: Mapping[int, float] = field(default_factory=dict)
    adds_space_prefix: bool = False
