"""What became of every record: read = kept + held out + dropped, in documents and in bytes, for every source."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.core.files import write_json

__all__ = ["Amount", "Funnel", "SourceFunnel"]


@dataclass
class Amount:
    """A number of documents and the UTF-8 bytes of their text."""

    documents: int = 0
    bytes: int = 0

    def add(self, size: int, documents: int = 1) -> None:
        """Count `documents` more, of `size` bytes together."""
        self.documents += documents
        self.bytes += size


@dataclass
class SourceFunnel:
    """One source's account, or that of a part of it: parts add up.

    A dropped document counts with the bytes it had when it was dropped. Cleaning also takes bytes from documents that stay, or adds
    some, so that read bytes = kept + held out + dropped + `cleaned_bytes`. `edits` counts such changes by kind. Languages are those
    of kept and held-out documents, each with an amount per split; `lengths` counts the same documents by the bits of their size:
    under b lie those of 2^(b-1) to 2^b - 1 bytes.
    """

    read: Amount = field(default_factory=Amount)
    train: Amount = field(default_factory=Amount)
    heldout: Amount = field(default_factory=Amount)
    dropped: dict[str, Amount] = field(default_factory=dict)
    languages: dict[str, dict[str, Amount]] = field(default_factory=dict)
    edits: Counter[str] = field(default_factory=Counter)
    cleaned_bytes: int = 0
    lengths: Counter[int] = field(default_factory=Counter)

    def drop(self, reason: str, size: int, documents: int = 1) -> None:
        """Count what was not written."""
        self.dropped.setdefault(reason, Amount()).add(size, documents)

    def keep(self, language: str, size: int, split: str) -> None:
        """Count a document that was written to `split`: 'train' or 'heldout'."""
        {"train": self.train, "heldout": self.heldout}[split].add(size)
        self._language(language)[split].add(size)
        self.lengths[size.bit_length()] += 1

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
            "edits": dict(sorted(self.edits.items())),
            "cleaned_bytes": self.cleaned_bytes,
            "lengths": {str(bits): count for bits, count in sorted(self.lengths.items())},
        }

    def add(self, part: Mapping[str, Any]) -> None:
        """Add the account of a part, as `as_json` gives it."""
        self.read.add(part["read_bytes"], part["read"])
        self.train.add(part["kept_bytes"], part["kept"])
        self.heldout.add(part["heldout_bytes"], part["heldout"])
        for reason, amount in part["dropped"].items():
            self.drop(reason, amount["bytes"], amount["documents"])
        for language, amounts in part["languages"].items():
            splits = self._language(language)
            splits["train"].add(amounts["kept_bytes"], amounts["kept"])
            splits["heldout"].add(amounts["heldout_bytes"], amounts["heldout"])
        self.edits.update(part["edits"])
        self.cleaned_bytes += part["cleaned_bytes"]
        self.lengths.update({int(bits): count for bits, count in part["lengths"].items()})


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
