"""Which files of a run are released, and which of those that its manifests name are left out, each with the reason."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pellucid.core.artifacts import MANIFEST, read_manifest
from pellucid.core.errors import UsageError
from pellucid.recipe.recipe import Recipe
from pellucid.release.sources import ReleasedSource

__all__ = ["CHECKPOINTS", "PARTS", "LeftOut", "Selection", "select"]

CHECKPOINTS = ("none", "final", "all")
_ARTIFACTS = ("*", "averages/*/*", "evals/*/*")
# What `--without` takes, and what it means.
PARTS: dict[str, tuple[str, ...]] = {
    "documents": ("documents/*/*", "report/data.html", "*/curves.items.json"),
    "shards": ("shards/*/*/*.bin",),
    "conversations": ("conversations/*/*/ids.npy", "*/data/*/ids.npy", "*/data/written/*"),
    "exports": ("exports/*/*",),
    "items": ("evals/**/items.jsonl", "benchmarks/**/items.jsonl"),
    "samples": ("*/samples.jsonl",),
    "code": (),
}
# What holds texts or their tokens in a source's folders. Indices and counts hold none, and let what is left out be checked.
_TOKENS = (".bin", ".npy")
_NO_TOKENS = ("document_starts.npy", "starts.npy", "targets.npy")
# Files beside the documents that quote them.
_QUOTES = ("report/data.html", "*/curves.items.json")
_WEIGHTS = (".safetensors", ".gguf", ".bin")


@dataclass(frozen=True)
class LeftOut:
    """A file that a manifest of the release names and that is not in it; `stand_in` is the digest of a page in its place."""

    path: str
    bytes: int
    sha256: str
    why: str
    stand_in: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `release.json`."""
        told = {"path": self.path, "bytes": self.bytes, "sha256": self.sha256, "why": self.why}
        return told | ({"stand_in": self.stand_in} if self.stand_in else {})


@dataclass
class Selection:
    """Files to copy with what their manifests say of them (None for those without a manifest), and what stays behind."""

    files: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def has(self, pattern: str) -> bool:
        """Tell whether a released file's path matches the pattern, as `PurePosixPath.match` does for whole paths."""
        return any(matches(name, pattern) for name in self.files)

    @property
    def copied_bytes(self) -> int:
        """Size of the files whose manifests tell it."""
        return sum(known["bytes"] for known in self.files.values() if known)


def select(
    run: Path, recipe: Recipe, sources: Sequence[ReleasedSource], *, without: Iterable[str] = (), checkpoints: str = "final"
) -> Selection:
    """Go through the artifacts of a run and decide about every file that their manifests name.

    Hidden files, the lock, superseded and unfinished folders and indices of n-grams are never released. Manifests always are.
    Raises `UsageError` for a part or a kind of checkpoints that does not exist, `ArtifactError` for a damaged manifest.
    """
    unknown = [part for part in without if part not in PARTS]
    if unknown:
        raise UsageError(f"--without: got {unknown[0]!r}; must be one of {', '.join(PARTS)}")
    if checkpoints not in CHECKPOINTS:
        raise UsageError(f"--checkpoints: got {checkpoints!r}; must be one of {', '.join(CHECKPOINTS)}")
    rules = [*_asked(without), *_licences(sources), _checkpoints(run, recipe, checkpoints)]
    chosen = Selection()
    for file in sorted(run.iterdir()):
        if file.is_file() and not file.is_symlink() and not file.name.startswith("."):
            chosen.files[file.name] = None
    for folder in whole_artifacts(run):
        place = folder.relative_to(run).as_posix()
        chosen.files[f"{place}/{MANIFEST}"] = None
        for name, output in sorted(read_manifest(folder).outputs.items()):
            path = f"{place}/{name}"
            why = "" if PurePosixPath(name).name == MANIFEST else next(filter(None, (rule(path) for rule in rules)), "")
            if why:
                chosen.left_out.append(LeftOut(path, output["bytes"], output["sha256"], why))
            else:
                chosen.files[path] = output
    return chosen


def whole_artifacts(run: Path) -> list[Path]:
    """Return the folders of finished artifacts: none hidden or set aside, and no index of n-grams, which is made anew at need."""
    found = sorted(manifest.parent for places in _ARTIFACTS for manifest in run.glob(f"{places}/{MANIFEST}"))
    parts = ((folder, folder.relative_to(run).parts) for folder in found)
    return [folder for folder, names in parts if names[0] != "ngrams" and not any(_is_aside(name) for name in names)]


def _is_aside(name: str) -> bool:
    return name.startswith(".") or ".superseded-" in name


def matches(path: str, pattern: str) -> bool:
    """Tell whether a path lies at or below what a pattern names; `*` is one part of it, `**` any number."""
    return _match(PurePosixPath(path).parts, PurePosixPath(pattern).parts)


def _match(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    if not wanted:
        return True
    if wanted[0] == "**":
        return any(_match(parts[n:], wanted[1:]) for n in range(len(parts) + 1))
    return bool(parts) and PurePosixPath(parts[0]).match(wanted[0]) and _match(parts[1:], wanted[1:])


Rule = Callable[[str], str]


def _asked(without: Iterable[str]) -> list[Rule]:
    def rule(part: str) -> Rule:
        return lambda path: f"asked: --without {part}" if any(matches(path, pattern) for pattern in PARTS[part]) else ""

    return [rule(part) for part in dict.fromkeys(without)]


def _licences(sources: Sequence[ReleasedSource]) -> list[Rule]:
    kept_back = [source for source in sources if source.why_kept_back]

    def rule(path: str) -> str:
        for source in kept_back:
            if any(path.startswith(f"{folder}/") for folder in source.folders) and _holds_texts(path):
                return source.why_kept_back
        quoted = [source for source in kept_back if source.is_text]
        if quoted and any(matches(path, pattern) for pattern in _QUOTES):
            return f"it quotes documents; {quoted[0].why_kept_back}"
        return ""

    return [rule]


def _holds_texts(path: str) -> bool:
    at = PurePosixPath(path)
    # Of documents those that were dropped or set aside are kept as well, in files of several kinds.
    return at.parts[0] == "documents" or (at.suffix in _TOKENS and at.name not in _NO_TOKENS)


def _checkpoints(run: Path, recipe: Recipe, kind: str) -> Rule:
    """Of each training stage the last weights, without what only training needs; or none, or all."""
    finals = set()
    for stage in recipe.train:
        manifest = run / stage.name / MANIFEST
        if manifest.is_file():
            finals.add(f"{stage.name}/{read_manifest(manifest.parent).summary.get('checkpoint', '')}")

    def rule(path: str) -> str:
        at = PurePosixPath(path)
        if kind == "all" or "checkpoints" not in at.parts or not matches(path, "*/checkpoints/*/*"):
            return ""
        if at.suffix not in _WEIGHTS:
            return ""
        if kind == "none":
            return "asked: --checkpoints none"
        if "/".join(at.parts[:3]) not in finals:
            return "a checkpoint before the stage's last (released with --checkpoints all)"
        if at.parts[3].partition(".")[0] != "model":
            return "state that only training on needs (released with --checkpoints all)"
        return ""

    return rule
