"""Data sets of the Hugging Face hub, streamed by `datasets` itself, a shard at a time; local copies of their folders as well."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pellucid.core.errors import DataError, MissingExtraError
from pellucid.documents.files import InputConfig, InputFile, shown_name

__all__ = ["Shard", "find_shards", "hub_inputs", "hub_is_explained", "is_local", "open_split", "split_hub"]

_PREFIX = "hf://datasets/"


@dataclass(frozen=True)
class Shard:
    """One shard of a data set's split: the data set with its commit (or the folder), its name for ids, its number, its bytes."""

    file: str
    name: str
    index: int
    bytes: int


@dataclass(frozen=True)
class _Place:
    """A data set: its folder, or its name on the hub and the commit that `revision` meant; `sizes` are bytes of its files."""

    repository: str
    subset: str | None
    commit: str | None
    shown: str
    sizes: dict[str, int]

    @property
    def file(self) -> str:
        return self.repository if self.commit is None else f"{_PREFIX}{self.repository}@{self.commit}"


def is_local(hub: str) -> bool:
    """Tell whether `hub` names a folder with a copy of a data set: it begins with ./, ../ or /."""
    return hub.startswith(("./", "../", "/"))


def split_hub(hub: str) -> tuple[str, str | None]:
    """Return the data set and the subset that `owner/name:subset` means; the subset may be left out."""
    name, colon, subset = hub.partition(":")
    return name, subset if colon else None


def find_shards(source: InputConfig, base: Path) -> list[Shard]:
    """Return the shards of a source's split in order. A revision is resolved to its commit once, so that all are of one state.

    Raises `MissingExtraError` without `datasets`, and `DataError` when there is no network, no such data set, subset, split or
    revision, or no right to read it; subsets and splits that there are are named.
    """
    place = _find(source, base)
    stream, files = open_split(source, place.file, place.subset)
    sizes = [place.sizes.get(file, 0) for file in files]
    count = int(stream.num_shards)
    if len(sizes) != count:
        sizes = [sum(sizes) // count] * count
    return [Shard(place.file, f"{place.shown}/{source.split}/{index:05}", index, size) for index, size in enumerate(sizes)]


def hub_inputs(source: InputConfig, base: Path) -> tuple[list[InputFile], dict[str, str]]:
    """Return what the data set is known by: the files of a local copy, or its name and commit. Raises as `find_shards` does."""
    place = _find(source, base)
    if place.commit is not None:
        return [], {place.shown: place.commit}
    folder = Path(place.repository)
    files = [(file, file.stat()) for file in _files_of(folder)]
    return [
        InputFile(str(file), shown_name(file, base, folder), about.st_size, f"{about.st_size}@{about.st_mtime_ns}")
        for file, about in files
    ], {}


def _files_of(folder: Path) -> list[Path]:
    inside = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return [file for file in inside if not any(part.startswith(".") for part in file.relative_to(folder).parts)]


def _find(source: InputConfig, base: Path) -> _Place:
    hub = source.hub or ""
    name, subset = split_hub(hub)
    if is_local(hub):
        folder = (base / name).resolve()
        if not folder.is_dir():
            raise DataError(
                f"source {source.name!r}: hub is {hub!r}, but there is no folder {folder}. Correct it, or name owner/name"
            )
        sizes = {str(file): file.stat().st_size for file in _files_of(folder)}
        shown = shown_name(folder, base.resolve()) + (f":{subset}" if subset else "")
        return _Place(str(folder), subset, None, shown, sizes)
    with hub_is_explained(source):
        from huggingface_hub import HfApi

        about = HfApi().dataset_info(name, revision=source.revision, files_metadata=True, timeout=60)
    place = _Place(name, subset, about.sha, hub, {})
    place.sizes.update({f"{place.file}/{file.rfilename}": file.size or 0 for file in about.siblings or ()})
    return place


def open_split(source: InputConfig, file: str, subset: str | None) -> tuple[Any, list[str]]:
    """Return a split as an iterable data set, and the files it is made of."""
    with hub_is_explained(source):
        return (_open_once if file.startswith(_PREFIX) else _open)(file, subset, source.split)


def _open(file: str, subset: str | None, split: str) -> tuple[Any, list[str]]:
    from datasets import load_dataset_builder

    repository, commit = file, None
    if file.startswith(_PREFIX):
        repository, _, commit = file.removeprefix(_PREFIX).rpartition("@")
    builder = load_dataset_builder(repository, subset, revision=commit)
    files = (builder.config.data_files or {}).get(split, [])
    return builder.as_streaming_dataset(split), [str(one) for one in files]


# A commit does not change, and every piece of it would ask the hub for the list of its files again; a folder may change.
_open_once = lru_cache(maxsize=8)(_open)


@contextmanager
def hub_is_explained(source: InputConfig) -> Iterator[None]:
    """Turn what `datasets` and `huggingface_hub` say into a `DataError` with the way out."""
    asked = f"source {source.name!r}: data set {source.hub}"
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "datasets", "hub", f"reading {source.hub}") from error
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        kind = {cls.__name__ for cls in type(error).__mro__}
        if kind & {"GatedRepoError"} or "is a gated dataset" in said:
            fix = f"Accept its terms at https://huggingface.co/datasets/{source.hub}, then set HF_TOKEN or run: hf auth login"
        elif kind & {"RevisionNotFoundError"}:
            fix = f"Correct revision, which is {source.revision!r}"
        elif kind & {"RepositoryNotFoundError", "DatasetNotFoundError", "HFValidationError"}:
            fix = "Correct hub: owner/name; a private data set needs HF_TOKEN, or hf auth login; a folder begins with ./"
        elif "Bad split" in said:
            fix = f"Correct split, which is {source.split!r}"
        elif "BuilderConfig" in said or "Config name is missing" in said:
            fix = "Name one of them: hub: owner/name:subset"
        elif "script" in said.lower():
            fix = "It is made by a program of its own, which is not run; give its files as path: hf://datasets/OWNER/NAME/…"
        elif isinstance(error, OSError) or kind & {"HTTPError", "TransportError", "OfflineModeIsEnabled", "HfHubHTTPError"}:
            fix = "Look at the network (HF_ENDPOINT, HF_HUB_OFFLINE, proxies) and run again, or download it and give hub: ./folder"
        else:
            fix = "Correct hub, split and revision"
        raise DataError(f"{asked} cannot be read ({said}). {fix}") from error
