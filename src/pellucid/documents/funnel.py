"""What became of every record: read = kept + heldout + dropped, in documents and in bytes, for every source."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.core.files import write_json
from pellucid.documents.document import Document, Dropped

__all__ = ["Amount", "Funnel", "SourceFunnel"]


@dataclass
class Amount:
    """A number of documents and the UTF-8 bytes of their text."""

    documents: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one more document of `size` bytes."""
        self.documents += 1
        self.bytes += size

    def remove(self, size: int) -> None:
        """Take back one document of `size` bytes."""
        self.documents -= 1
        self.bytes -= size


@dataclass
class SourceFunnel:
    """One source's account. Languages are those of kept and held-out documents, each with an amount per split."""

    read: Amount = field(default_factory=Amount)
    train: Amount = field(default_factory=Amount)
    heldout: Amount = field(default_factory=Amount)
    dropped: dict[str, Amount] = field(default_factory=dict)
    languages: dict[str, dict[str, Amount]] = field(default_factory=dict)

    def keep(self, document: Document, size: int, split: str) -> None:
        """Count a document that was written to `split`: 'train' or 'heldout'."""
        self.read.add(size)
        self._split(split).add(size)
        self._language(document.language)[split].add(size)

    def drop(self, dropped: Dropped) -> None:
        """Count a record that was not written."""
        self.read.add(dropped.bytes)
        self.dropped.setdefault(dropped.reason, Amount()).add(dropped.bytes)

    def drop_kept(self, language: str, size: int, split: str, reason: str) -> None:
        """Move a document that was kept at first to the dropped."""
        self._split(split).remove(size)
        amounts = self._language(language)
        amounts[split].remove(size)
        if not any(amount.documents for amount in amounts.values()):
            del self.languages[language]
        self.dropped.setdefault(reason, Amount()).add(size)

    def _split(self, split: str) -> Amount:
        return {"train": self.train, "heldout": self.heldout}[split]

    def _language(self, language: str) -> dict[str, Amount]:
        return self.languages.setdefault(language, {"train": Amount(), "heldout": Amount()})

    def as_json(self) -> dict[str, Any]:
        """Return the account under the names that `funnel.json` keeps stable."""
        return {
            "read": self.read.documents,
            "read_bytes": self.read.bytes,
            **_splits(self.train, self.heldout),
            "dropped": {reason: {"documents": a.documents, "bytes": a.bytes} for reason, a in sorted(self.dropped.items())},
            "languages": {language: _splits(a["train"], a["heldout"]) for language, a in sorted(self.languages.items())},
        }


def _splits(train: Amount, heldout: Amount) -> dict[str, int]:
    return {
        "kept": train.documents,
        "kept_bytes": train.bytes,
        "heldout": heldout.documents,
        "heldout_bytes": heldout.bytes,
    }


@dataclass
class Funnel:
    """The account of all sources, in recipe order."""

    sources: dict[str, SourceFunnel] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return `{"sources": {NAME: {...}}}`."""
        return {"sources": {name: source.as_json() for name, source in self.sources.items()}}

    def write(self, path: Path) -> None:
        """Write the account as JSON, atomically."""
        write_json(path, self.as_json())
