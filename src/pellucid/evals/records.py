"""What a held-out evaluation reads and writes about one document, and the tables that are made of it. Without torch."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

__all__ = ["DocumentScore", "HeldoutDocument", "Totals", "summarise_heldout", "total"]


@dataclass(frozen=True, slots=True)
class HeldoutDocument:
    """One held-out document, as much of it as a score needs."""

    id: str
    source: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """One document's score: `nats` is the sum over its `tokens` tokens, whose text is `bytes` bytes of UTF-8."""

    id: str
    source: str
    language: str
    bytes: int
    tokens: int
    nats: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over documents, and the two figures that are made from them."""

    documents: int
    bytes: int
    tokens: int
    nats: float

    @property
    def bits_per_byte(self) -> float:
        """Bits a coder driven by the model needs per byte of UTF-8 text: nats / ln 2 / bytes. Comparable over tokenizers."""
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan

    @property
    def perplexity(self) -> float:
        """Perplexity per token, e to the nats per token. Comparable only for the same tokenizer."""
        return math.exp(self.nats / self.tokens) if self.tokens else math.nan


def total(scores: Iterable[DocumentScore]) -> Totals:
    """Add up document scores; the sum of nats is exact (`math.fsum`), so neither order nor grouping changes it."""
    rows = list(scores)
    return Totals(len(rows), sum(row.bytes for row in rows), sum(row.tokens for row in rows), math.fsum(row.nats for row in rows))


def summarise_heldout(scores: Mapping[str, Sequence[DocumentScore]], xz: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the tables of `scores/heldout.json`: bits per byte of all text, by source and by language, baselines beside them.

    `scores` maps a predictor ("model", "ngram") to its scores of the same documents; "model" must be there. `xz` maps
    "by_source" and "by_language" to the compressor's bits per byte by group; it may be empty. Perplexity is the model's, per token.
    """
    groups: dict[str, Callable[[DocumentScore], str]] = {
        "by_source": lambda score: score.source,
        "by_language": lambda score: score.language,
    }
    table: dict[str, Any] = {"all": total(scores["model"]).bits_per_byte, "total": _row(scores)}
    for name, group_of in groups.items():
        parts: dict[str, dict[str, list[DocumentScore]]] = {}
        for predictor, rows in scores.items():
            for group, members in groupby(sorted(rows, key=group_of), group_of):
                parts.setdefault(group, {})[predictor] = list(members)
        table[name] = {group: _row(part) for group, part in parts.items()}
        for group, bits_per_byte in xz.get(name, {}).items():
            table[name][group]["xz"] = bits_per_byte
    return table


def _row(scores: Mapping[str, Sequence[DocumentScore]]) -> dict[str, float | int]:
    sums = {predictor: total(rows) for predictor, rows in scores.items()}
    model = sums["model"]
    figures: dict[str, float | int] = {predictor: part.bits_per_byte for predictor, part in sums.items()}
    return {**figures, "documents": model.documents, "bytes": model.bytes, "tokens": model.tokens, "perplexity": model.perplexity}
