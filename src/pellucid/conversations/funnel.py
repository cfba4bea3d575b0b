"""What became of every record of conversations: read = kept + held out + dropped, by reason, for every source."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.core.files import write_json

__all__ = ["SPLITS", "Amount", "Drops", "Funnel", "SourceFunnel"]

SPLITS = ("train", "heldout")
_SHOWN = 3


@dataclass
class Amount:
    """Examples that were written, with their tokens, those of them that are targets, and what was cut off to fit the context."""

    examples: int = 0
    tokens: int = 0
    target_tokens: int = 0
    truncated: int = 0
    truncated_tokens: int = 0

    def add(self, cut_tokens: int) -> None:
        """Count one example, of which so many tokens were cut off."""
        self.examples += 1
        self.truncated += cut_tokens > 0
        self.truncated_tokens += cut_tokens

    def as_json(self) -> dict[str, int]:
        """Return the figures under the names that `funnel.json` keeps stable."""
        return dict(vars(self))


@dataclass
class Drops:
    """Dropped records by reason, and the first few of each to be looked at: where, why, and how the record begins."""

    counts: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def is_new(self, reason: str) -> bool:
        """Tell whether a record of this reason is one that is shown."""
        return self.counts[reason] < _SHOWN

    def add(self, reason: str, where: str, detail: str, beginning: str = "") -> None:
        """Count one record."""
        if self.is_new(reason):
            shown = {"where": where, "detail": detail, "beginning": beginning}
            self.shown.setdefault(reason, []).append({name: text for name, text in shown.items() if text})
        self.counts[reason] += 1

    def merge(self, later: "Drops") -> None:
        """Count what comes after as well."""
        self.counts += later.counts
        for reason, shown in later.shown.items():
            known = self.shown.setdefault(reason, [])
            known += shown[: max(0, _SHOWN - len(known))]


@dataclass
class SourceFunnel:
    """One source's account. `edits` counts conversations that were mended and stay; `limit_tokens` is what they had to fit into.

    `heldout_elsewhere` counts those of the held-out examples that only another source's share holds out, which asks the same.
    """

    shape: str
    limit_tokens: int
    read: int = 0
    corrupt: int = 0
    drops: Drops = field(default_factory=Drops)
    edits: Counter[str] = field(default_factory=Counter)
    heldout_elsewhere: int = 0
    splits: Mapping[str, Amount] = field(default_factory=lambda: {split: Amount() for split in SPLITS})

    @property
    def dropped(self) -> int:
        """Records that were dropped, for whatever reason."""
        return self.drops.counts.total()

    @property
    def is_whole(self) -> bool:
        """Whether each record that was read is written or dropped."""
        return self.read == self.dropped + sum(amount.examples for amount in self.splits.values())

    def as_json(self) -> dict[str, Any]:
        """Return the account under the names that `funnel.json` keeps stable; `corrupt` records are among those dropped."""
        return {
            "shape": self.shape,
            "limit_tokens": self.limit_tokens,
            "read": self.read,
            "corrupt": self.corrupt,
            "kept": self.splits["train"].examples,
            "heldout": self.splits["heldout"].examples,
            "heldout_elsewhere": self.heldout_elsewhere,
            "dropped": dict(sorted(self.drops.counts.items())),
            "edits": dict(sorted(self.edits.items())),
            "splits": {split: amount.as_json() for split, amount in self.splits.items()},
            "dropped_first": dict(sorted(self.drops.shown.items())),
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
