"""Scores by group of text for every level of an axis: effects of each group, with p corrected over the whole table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid.evals.paired import holm, verdict
from pellucid.studies.effects import effects_of
from pellucid.studies.results import RunResult, Scores, pooled

__all__ = ["Group", "english_groups", "english_without", "groups_of", "table_of"]


@dataclass(frozen=True)
class Group:
    """A group of held-out text: one of a run's own tables, or several sources read as one."""

    kind: str
    name: str
    sources: tuple[str, ...] = field(default=())

    def scores(self, run: RunResult) -> Scores | None:
        """Return a run's scores of the group; None where it has none."""
        table = run.table or {}
        if not self.sources:
            return table.get(self.kind, {}).get(self.name)
        of_source = table.get("source", {})
        found = [of_source[name] for name in self.sources if name in of_source]
        return pooled(found) if found else None

    def bits(self, run: RunResult) -> float:
        """Return a run's bits per byte; not a number where it has none. A `Metric`."""
        scores = self.scores(run)
        return math.nan if scores is None else scores.bits_per_byte


def groups_of(runs: Sequence[RunResult], kind: str) -> list[Group]:
    """Return the groups of a kind that any run was scored on, in order of appearance."""
    return [Group(kind, name) for name in dict.fromkeys(name for run in runs for name in (run.table or {}).get(kind, {}))]


def english_groups(runs: Sequence[RunResult]) -> list[Group]:
    """Return English text by category, which is where mixes of languages can be told from mixes of domains.

    Nothing where no run knows its sources, or all text is English anyway.
    """
    sources = _sources(runs)
    if all(of.get("language") == "en" for of in sources.values()):
        return []
    categories: dict[str, list[str]] = {}
    for name, of in sources.items():
        if of.get("language") == "en":
            categories.setdefault(of.get("category") or "unknown", []).append(name)
    return [Group("english", category, tuple(names)) for category, names in categories.items()]


def english_without(runs: Sequence[RunResult], categories: Sequence[str]) -> Group | None:
    """Return English text of all but some categories as one group; None where sources are not known."""
    names = [
        name for name, of in _sources(runs).items() if of.get("language") == "en" and of.get("category") not in set(categories)
    ]
    return Group("english", f"all but {' and '.join(categories)}", tuple(names)) if names else None


def table_of(runs: Sequence[RunResult], axis: str, groups: Sequence[Group], baseline: str | None) -> list[dict[str, Any]]:
    """Return for each group its `kind`, `group`, `bytes`, `documents`, and what `effects_of` says of the axis on it.

    Rows have `seeds` as well, those of their `values`. `p_holm` and `verdict` are corrected over all groups and levels of the
    table together (Holm).
    """
    tables = []
    for group in groups:
        found = effects_of(runs, axis, group.bits, baseline)
        for row in found["rows"]:
            own = [run for run in runs if run.levels.get(axis) == row["level"] and run.is_comparable]
            row["seeds"] = [run.seed for run in own if math.isfinite(group.bits(run))]
        scores = next((scores for run in runs if (scores := group.scores(run)) is not None), Scores(0.0, 0, 0))
        tables.append({"kind": group.kind, "group": group.name, "bytes": scores.bytes, "documents": scores.documents, **found})
    rows = [row for table in tables for row in table["rows"] if "p" in row]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"], row["verdict"] = p, verdict(row["difference"], p, "bits_per_byte")
    return tables


def _sources(runs: Sequence[RunResult]) -> dict[str, dict[str, str | None]]:
    return {name: dict(of) for run in runs for name, of in run.sources.items()}
