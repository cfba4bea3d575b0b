"""What cards and lists say of a run, read from its artifacts once: manifests, receipts, funnels, scores, versions, times."""

import time
from calendar import timegm
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from pellucid.core.artifacts import Manifest, read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json
from pellucid.core.ledger import LEDGER
from pellucid.core.scores import RESULT
from pellucid.recipe.conversations import ConversationConfig
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.release.selection import Selection, whole_artifacts
from pellucid.release.sources import SPLITS, WRITTEN, Kind, ReleasedSource
from pellucid.report.sections import FUNNEL, NO_LANGUAGE, languages_of

__all__ = ["Account", "Consumed"]

_CLOCK = "%Y-%m-%dT%H:%M:%SZ"
_READ: tuple[Kind, ...] = ("documents", "conversations")


@dataclass(frozen=True)
class Consumed:
    """What training took of a source: tokens, and epochs by stage."""

    tokens: int
    epochs: dict[str, float]


@dataclass(frozen=True)
class Account:
    """A run with the decision about its files. `recipe` is the run's, its section `release` as the publisher wants it."""

    run: Path
    recipe: Recipe
    sources: list[ReleasedSource]
    selection: Selection

    @cached_property
    def manifests(self) -> dict[str, Manifest]:
        """Manifests of all whole artifacts by their place in the run, in the order in which the artifacts were begun."""
        found = {folder.relative_to(self.run).as_posix(): read_manifest(folder) for folder in whole_artifacts(self.run)}
        return dict(sorted(found.items(), key=lambda item: (item[1].started_at, item[0])))

    @cached_property
    def identity(self) -> str:
        """What tells this run from any other: the digest of the first line of its ledger."""
        path = self.run / LEDGER
        first = path.read_bytes().splitlines(keepends=True)[:1] if path.is_file() else []
        if not first:
            raise ArtifactError(f"{path} is missing or empty; a release is made of a run with its ledger")
        return sha256(first[0]).hexdigest()

    @cached_property
    def finished_at(self) -> str:
        """When the last artifact was finished, in UTC: the release's date, so that releasing twice gives the same bytes."""
        ends = [timegm(time.strptime(one.started_at, _CLOCK)) + one.seconds for one in self.manifests.values()]
        return time.strftime(_CLOCK, time.gmtime(max(ends, default=0)))

    @cached_property
    def package_versions(self) -> dict[str, list[str]]:
        """The versions of each package that manifests recorded, in the order of time."""
        found: dict[str, list[str]] = {}
        for manifest in self.manifests.values():
            for name, version in manifest.environment.get("packages", {}).items():
                found.setdefault(name, []).append(str(version))
        return found

    @cached_property
    def code_versions(self) -> list[str]:
        """The versions of Pellucid that made the run's artifacts."""
        return list(dict.fromkeys(manifest.code_version for manifest in self.manifests.values()))

    @cached_property
    def last(self) -> Manifest:
        """The manifest of the artifact that was finished last."""
        if not self.manifests:
            raise ArtifactError(f"{self.run} holds no finished artifact; there is nothing to release")
        return list(self.manifests.values())[-1]

    def read(self, file: str) -> Any:
        """Return a JSON file of the run; None where the run has none."""
        path = self.run / file
        return read_json(path) if path.is_file() else None

    @cached_property
    def plan(self) -> dict[str, Any]:
        """The plan."""
        plan: dict[str, Any] = self.read("plan/plan.json") or {}
        return plan

    @cached_property
    def heldout(self) -> dict[str, Any]:
        """Held-out scores; empty where there are none."""
        scores: dict[str, Any] = self.read("scores/heldout.json") or {}
        return scores

    @property
    def scored(self) -> str | None:
        """The checkpoint that held-out scores are of, as `STAGE/step-N`; None without scores."""
        checkpoint = self.heldout.get("checkpoint")
        return f"{checkpoint['stage']}/step-{checkpoint['step']}" if checkpoint else None

    @property
    def shipped(self) -> str | None:
        """The checkpoint that exports are of, the last of the last training stage, as `STAGE/step-N`; None where there is none."""
        stage = self.recipe.train[-1].name if self.recipe.train else ""
        named = self.manifests[stage].summary.get("checkpoint") if stage in self.manifests else None
        return f"{stage}/step-{int(str(named).rpartition('-')[2])}" if named else None

    @cached_property
    def exports(self) -> dict[str, Any]:
        """Exports by name, as `exports/export.json` has them."""
        found: dict[str, Any] = (self.read("exports/export.json") or {}).get("formats", {})
        return found

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """Results of suites by their file, of whole artifacts only."""
        names = sorted(name for name in self.selection.files if name.endswith(f"/{RESULT}"))
        return {name: self.read(name) for name in names}

    @cached_property
    def funnels(self) -> dict[tuple[Kind, str], dict[str, Any]]:
        """What became of the records of each source, by its key: as its stage tells it, of written examples as `_written` does."""
        found: dict[tuple[Kind, str], dict[str, Any]] = {}
        for kind in _READ:
            told = (self.read(f"{kind}/funnel.json") or {}).get("sources", {})
            found |= {(kind, name): funnel for name, funnel in told.items()}
        for source in self.sources:
            if source.kind == "written":
                found[source.key] = _written(self.read(f"{source.name}/{WRITTEN}") or {})
        return found

    @cached_property
    def consumed(self) -> dict[tuple[Kind, str], Consumed]:
        """What training took of each source, over all stages, by their receipts and the source's key."""
        found: dict[tuple[Kind, str], Consumed] = {}
        for stage in self.recipe.train:
            receipt = self.read(f"{stage.name}/receipt.json") or {}
            for name, taken in receipt.get("consumed", {}).get("sources", {}).items():
                key = _key(stage, name)
                before = found.get(key, Consumed(0, {}))
                found[key] = Consumed(before.tokens + taken["tokens"], before.epochs | {stage.name: taken["epochs"]})
        return found

    def config_of(self, source: ReleasedSource) -> SourceConfig | ConversationConfig | None:
        """Return what the recipe says of a source; None of what a stage wrote."""
        if source.kind == "documents":
            return next(one for one in self.recipe.sources if one.name == source.name)
        return next((one for one in self.recipe.conversations if source.kind == "conversations" and one.name == source.name), None)

    def holds(self, source: ReleasedSource, *splits: str) -> bool:
        """Whether texts or tokens of a source are in the release, in one of these splits: indices and counts stay in any case."""
        ending = "" if source.is_text else "/ids.npy"
        return any(self.selection.has(f"{source.folders[0]}/{split}{ending}") for split in splits or SPLITS)

    @cached_property
    def languages(self) -> list[str]:
        """ISO 639 codes of the documents that are kept, those with most text first; unknown and several are left out."""
        named = {talk.language for talk in self.recipe.conversations if talk.language} - NO_LANGUAGE
        return languages_of(self.read(FUNNEL) or {"sources": {}}) or sorted(named)

    @property
    def parameters(self) -> int | None:
        """Number of the model's parameters."""
        total = self.plan.get("parameters", {}).get("total")
        return int(total) if total is not None else None

    @property
    def base(self) -> str | None:
        """What training began from, where that is not this run's own: the name that the publisher gives, else that of the file."""
        named = next((stage.init_from for stage in reversed(self.recipe.train) if stage.init_from), None)
        return None if named is None else self.recipe.release.base_model or Path(named).name

    @property
    def text_licence(self) -> str | None:
        """Licence of cards, report, scores and samples."""
        return self.recipe.release.text_licence or self.recipe.release.licence


def _key(stage: TrainStageConfig, name: str) -> tuple[Kind, str]:
    """Return the key of a source that a stage's receipt names: documents and conversations may share a name."""
    if stage.objective == "self_knowledge":
        return "written", stage.name
    return ("documents" if stage.learns_from_text else "conversations"), name


def _written(told: dict[str, Any]) -> dict[str, Any]:
    """Return the funnel of a stage's own examples as that of a source: kept, held out, and what was dropped of what it wrote."""
    amounts = {split: sum(kinds.values()) for split, kinds in told.get("examples", {}).items()}
    dropped = {
        f"{place.replace('_', ' ')}, {reason}": count
        for place in ("first_messages", "answers")
        for reason, count in told.get(place, {}).get("dropped", {}).items()
    }
    return {"kept": amounts.get("train", 0), "heldout": amounts.get("heldout", 0), "dropped": dropped}
