"""What a held-out evaluation reads and writes about one document."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["DocumentScore", "HeldoutDocument", "Totals", "total"]


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
