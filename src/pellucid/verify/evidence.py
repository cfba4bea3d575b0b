"""What all checks read: a run's files, manifests, recipe and ledger, each opened once and never trusted further than it reads."""

from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.artifacts import KEY, MANIFEST, Manifest, read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.core.files import is_inside
from pellucid.core.ledger import LEDGER, read_ledger
from pellucid.core.released import RELEASE, SUMS
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.resolved import RECIPE_FILE, parse_resolved
from pellucid.recipe.training import TrainStageConfig
from pellucid.verify.tree import MAX_READ_BYTES, Tree, is_hidden

__all__ = ["ENDS", "FOLDERS", "Evidence", "folder_of"]

FOLDERS = {"evaluate": "scores", "export": "exports"}
"""The stages whose folders have another name than they."""

ENDS = ("end", "unchanged", "shared")
"""The events that name the artifact which then lay there."""

# Folders that hold artifacts two levels below: averages of checkpoints, suites that were run by hand.
_DEEPER = ("averages", "evals")
_MAX_RECIPE_BYTES, _MAX_LEDGER_BYTES = 1 << 22, 1 << 30


class Evidence:
    """One run (or release) as it lies there. `without` names folders that are not looked at; with `deep` nothing is spared."""

    def __init__(self, run: Path, *, deep: bool = False, without: frozenset[str] = frozenset()) -> None:
        self.run, self.deep, self.without = run, deep, without
        self.tree = Tree(run, without)
        self.damaged: dict[str, str] = {}
        """Folders whose manifest cannot be read, with what is wrong with it."""
        self._manifests: dict[str, Manifest | None] = {}

    @cached_property
    def artifacts(self) -> dict[str, Manifest]:
        """The manifests of the run's own artifacts by folder; those of checkpoints inside a stage are contents of the stage."""
        found = {}
        for name in self.tree.files:
            folder, _, file = name.rpartition("/")
            if file == MANIFEST and _is_place(folder) and not is_hidden(name) and (manifest := self.manifest(folder)) is not None:
                found[folder] = manifest
        return found

    def manifest(self, folder: str) -> Manifest | None:
        """Return a folder's manifest; None where there is none that can be read, which `damaged` then has."""
        if folder not in self._manifests:
            self._manifests[folder] = self._read_manifest(folder)
        return self._manifests[folder]

    def _read_manifest(self, folder: str) -> Manifest | None:
        name = f"{folder}/{MANIFEST}"
        if self.tree.files.get(name, MAX_READ_BYTES) >= MAX_READ_BYTES:
            if name in self.tree.files:
                self.damaged[folder] = f"{self.tree.path(name)} has {self.tree.files[name]} bytes; no manifest is that large"
            return None
        try:
            return read_manifest(self.tree.path(folder))
        except (ArtifactError, AttributeError) as error:
            self.damaged[folder] = str(error)
            return None

    def fingerprint(self, folder: str) -> str | None:
        """Return the digest of what an artifact holds, as later stages record it; None where that cannot be told."""
        manifest = self.manifest(folder)
        if manifest is None:
            return None
        content = {name: output["sha256"] for name, output in manifest.outputs.items()}
        return sha256(orjson.dumps([manifest.kind, manifest.schema_version, content], option=orjson.OPT_SORT_KEYS)).hexdigest()

    def final_checkpoint(self, stage: str) -> str | None:
        """Return the folder of the checkpoint that a training stage ended with; None where its manifest names none in it."""
        manifest = self.manifest(stage)
        named = manifest.summary.get("checkpoint") if manifest is not None else None
        return f"{stage}/{named}" if is_inside(named) else None

    def is_building(self, folder: str) -> bool:
        """Tell whether a folder's artifact is still being made: by its own file, and a start in the ledger after its last end."""
        if f"{folder}/{KEY}" not in self.tree.files:
            return False
        begun = ended = 0
        for line, event in enumerate(self.events, start=1):
            if event.get("event") == "start" and folder_of(event) in (folder, _maker_of(folder)):
                begun = line
            elif event.get("event") in ENDS and folder_of(event) == folder:
                ended = line
        return begun > ended

    @property
    def is_release(self) -> bool:
        """Whether the folder was made by `pellucid release`."""
        return RELEASE in self.tree.files or SUMS in self.tree.files

    @cached_property
    def left_out(self) -> dict[str, dict[str, Any]]:
        """Files that a release says it leaves out, by name; what is wrong with that file the check of releases says."""
        try:
            listed = self.tree.json(RELEASE)["left_out"] if RELEASE in self.tree.files else []
            return {one["path"]: one for one in listed if isinstance(one["path"], str)}
        except (ArtifactError, KeyError, TypeError):
            return {}

    def is_left_out(self, name: str) -> bool:
        """Tell whether a file is missing because the release says so: not there, or a page in its place that says why."""
        told = self.left_out.get(name)
        return told is not None and (name not in self.tree.files or told.get("stand_in") == self.tree.digest(name))

    def has(self, name: str) -> bool:
        """Tell whether a file is there to be read."""
        return name in self.tree.files

    @cached_property
    def _resolved(self) -> tuple[Recipe, dict[str, Any]] | ArtifactError:
        try:
            if self.tree.files.get(RECIPE_FILE, 0) > _MAX_RECIPE_BYTES:
                raise ArtifactError(f"{self.tree.path(RECIPE_FILE)} has more than {_MAX_RECIPE_BYTES} bytes; it is no recipe")
            return parse_resolved(self.tree.path(RECIPE_FILE), self.tree.read(RECIPE_FILE).decode())
        except UnicodeDecodeError as error:
            return ArtifactError(f"{self.tree.path(RECIPE_FILE)} is not UTF-8: {error}")
        except ArtifactError as error:
            return error

    @property
    def recipe_fault(self) -> str | None:
        """What is wrong with the run's recipe; None when it can be read."""
        return str(self._resolved) if isinstance(self._resolved, ArtifactError) else None

    @property
    def recipe(self) -> Recipe | None:
        """The run's recipe, with what it leaves open filled in as this version does."""
        return None if isinstance(self._resolved, ArtifactError) else self._resolved[0]

    @property
    def values(self) -> dict[str, Any]:
        """The recipe's values as they stand in the file, whatever version wrote them."""
        return {} if isinstance(self._resolved, ArtifactError) else self._resolved[1]

    @property
    def training(self) -> tuple[TrainStageConfig, ...]:
        """The recipe's training stages; none where there is no recipe."""
        return () if self.recipe is None else self.recipe.train

    @cached_property
    def _ledger(self) -> tuple[list[dict[str, Any]], str | None]:
        if LEDGER not in self.tree.files:
            return [], f"{self.tree.path(LEDGER)} is missing"
        events: list[dict[str, Any]] = []
        try:
            if self.tree.files[LEDGER] >= _MAX_LEDGER_BYTES:
                raise ArtifactError(f"{self.tree.path(LEDGER)} has {self.tree.files[LEDGER]} bytes; no ledger is that large")
            events.extend(read_ledger(self.tree.path(LEDGER), whole=self.is_release))  # up to what raises, the events stay
        except (ArtifactError, AttributeError, TypeError) as error:
            return events, str(error) if isinstance(error, ArtifactError) else f"{self.tree.path(LEDGER)} is no ledger: {error}"
        return events, None

    @property
    def events(self) -> list[dict[str, Any]]:
        """The ledger's events, up to the first line whose chain does not hold."""
        return self._ledger[0]

    @property
    def ledger_fault(self) -> str | None:
        """What is wrong with the ledger; None when its chain holds."""
        return self._ledger[1]


def folder_of(event: Mapping[str, Any]) -> str | None:
    """Return the folder of the run that an event is about; None for what is about none."""
    folder, stage = event.get("folder"), event.get("stage")
    if isinstance(folder, str):
        return folder.rstrip("/")
    if "folder" in event or not isinstance(stage, str):
        return None
    # Ends that number their attempt name the folder that they made: without one, none was made.
    return None if "attempt" in event and event.get("event") != "start" else FOLDERS.get(stage, stage)


def _maker_of(folder: str) -> str:
    """Return the name of the attempts at a suite by the folder of its result, which their starts do not name."""
    return f"evaluate --suite {folder.rpartition('/')[2]}" if folder.startswith("evals/") else folder


def _is_place(folder: str) -> bool:
    """Tell whether artifacts lie at such a place of a run."""
    parts = folder.split("/")
    return bool(folder) and (len(parts) == 1 or (len(parts) == 3 and parts[0] in _DEEPER))
