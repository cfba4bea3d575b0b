"""A source's files: found by name, folder, glob or URL, with the format and size of each, and what a stage knows them by."""

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pellucid.core.artifacts import DIGEST_LIMIT_BYTES
from pellucid.core.errors import DataError
from pellucid.core.files import sha256_file
from pellucid.documents.streams import filesystem, is_url, packing, unreachable

__all__ = ["FORMATS", "InputConfig", "InputFile", "file_digests", "file_format", "find_files", "shown_name"]

FORMATS = {
    ".txt": "txt",
    ".md": "txt",
    ".rst": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".html": "html",
    ".htm": "html",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
_BINARY = ("parquet", "arrow")  # packed inside, if at all
# Under which names stores tell a checksum or a version, and then a time.
_MARKS = (
    *("ETag", "etag", "sha256", "md5Hash", "md5", "checksum", "blob_id", "version_id", "generation"),
    *("LastModified", "last_modified", "mtime", "updated", "created"),
)
# What lies beside the data of a folder and is none.
_BESIDE = ("readme", "license", "licence", "notice", "copying", "dataset_info", "dataset_dict.json", "state.json")


class InputConfig(Protocol):
    """Where records lie: what the recipe's sections that name files or a data set have in common."""

    @property
    def name(self) -> str:
        """Name of the source."""

    @property
    def path(self) -> str | None:
        """File, folder, glob or URL."""

    @property
    def hub(self) -> str | None:
        """Data set on the hub, or a local copy of one."""

    @property
    def split(self) -> str:
        """Split of the data set."""

    @property
    def revision(self) -> str | None:
        """Branch, tag or commit of the data set."""


@dataclass(frozen=True)
class InputFile:
    """One file: local path or URL, its name as ids and origins carry it, its size (0: not known), what tells that it changed."""

    path: str
    name: str
    bytes: int
    version: str = ""


def find_files(source: InputConfig, base: Path) -> list[InputFile]:
    """Return the files of a source in the order of their names; `source.path` is relative to `base`, the recipe's folder.

    A folder stands for all files in it, without hidden ones, those whose names begin with _, readmes and licences.

    Raises `DataError` when the source has no path, when nothing matches, when a file's kind has no reader, or when a URL cannot be
    reached.
    """
    if source.path is None:
        where = f"on the hub as {source.hub}" if source.hub else "nowhere"
        raise DataError(
            f"source {source.name!r} has no files: it is {where}. Give path (a file, folder or glob, relative to {base})"
        )
    files = _remote(source, source.path) if is_url(source.path) else _local(source, source.path, base)
    for file in files:
        if file_format(file.path) is None:
            known = f"{', '.join(FORMATS)}, but for the last three also packed as .gz, .zst, .bz2 or .xz"
            raise DataError(f"source {source.name!r}: no reader for {file.path}; known are {known}. Narrow path to these")
    return files


def file_format(path: Path | str) -> str | None:
    """Return 'txt', 'jsonl', 'json', 'csv', 'html', 'parquet' or 'arrow', or None when the name has another ending."""
    name = str(path).partition("?")[0].lower() if is_url(str(path)) else str(path).lower()
    packed = packing(name) is not None
    name = name.rpartition(".")[0] if packed else name
    kind = next((kind for ending, kind in FORMATS.items() if name.endswith(ending)), None)
    return None if packed and kind in _BINARY else kind


def shown_name(file: Path, base: Path, root: Path | None = None) -> str:
    """Return the file's name as ids and origins carry it: relative to the recipe's folder, so that no machine's path gets in.

    A file elsewhere is named relative to `root`, the folder that its source begins in, or by its name alone. Bytes of a name that
    are not UTF-8 are written out, as in `caf\\xe9.txt`, because ids and origins are UTF-8.
    """
    folder = next((folder for folder in (base, root) if folder is not None and file.is_relative_to(folder)), None)
    return _utf8(file.relative_to(folder).as_posix() if folder is not None else file.name)


def _utf8(name: str) -> str:
    return name if name.isascii() else os.fsencode(name).decode(errors="backslashreplace")


def _local(source: InputConfig, path: str, base: Path) -> list[InputFile]:
    named = base / path
    root = named.parent
    if named.is_file():
        matches = [named]
    elif named.is_dir():
        root, matches = named, [Path(folder, name) for folder, names in _walk(named) for name in names]
    else:
        while glob.has_magic(str(root.relative_to(base)) if root.is_relative_to(base) else str(root)):
            root = root.parent
        matches = [base / match for match in glob.glob(path, root_dir=base, recursive=True)]  # noqa: PTH207
    files = sorted({file for file in matches if file.is_file()})
    if not files:
        fix = (
            "put files into it" if named.is_dir() else "correct its path (a file, folder or glob, relative to the recipe's folder)"
        )
        raise DataError(f"source {source.name!r} is empty: no file matches {path!r} in {base}; {fix}")
    found = []
    for file in files:
        about = file.stat()
        found.append(InputFile(str(file), shown_name(file, base, root), about.st_size, f"{about.st_size}@{about.st_mtime_ns}"))
    return found


def _walk(folder: Path) -> Iterable[tuple[str, list[str]]]:
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield inside, [name for name in names if _is_data(name)]


def _is_data(name: str) -> bool:
    return not name.startswith((".", "_")) and not name.lower().startswith(_BESIDE)


def _remote(source: InputConfig, url: str) -> list[InputFile]:
    system, path = filesystem(url)
    try:
        if glob.has_magic(path.partition("?")[0] if url.startswith("http") else path):
            found = system.glob(path, detail=True)
        elif system.isdir(path):
            found = {name: about for name, about in system.find(path, detail=True).items() if _is_inside(name, path)}
        else:
            found = {path: system.info(path)}
    except FileNotFoundError:
        found = {}
    except Exception as error:
        raise unreachable(url, error) from error
    files = []
    for name, about in sorted(found.items()):
        if about.get("type", "file") == "file":
            address = str(system.unstrip_protocol(name))
            shown = _utf8(address.partition("?")[0])  # what follows may be a signature
            files.append(InputFile(address, shown, int(about.get("size") or 0), _version(about)))
    if not files:
        raise DataError(f"source {source.name!r} is empty: nothing is at {url}; correct its path (a file, a folder or a glob)")
    return files


def _is_inside(name: str, folder: str) -> bool:
    return all(_is_data(part) for part in name.removeprefix(folder).strip("/").split("/"))


def _version(about: dict[str, Any]) -> str:
    """Return what a store says of one file's content: a checksum where there is one, else the time of its last change."""
    mark = next((about[key] for key in _MARKS if about.get(key)), "")
    return f"{about.get('size')}@{mark}"


def file_digests(files: Mapping[str, InputFile]) -> dict[str, str]:
    """Return what the named files are known by: their digests, or size and time where reading them all would take too long.

    Files behind URLs are known by size and checksum, or time, as their store gives them.
    """
    small = sum(file.bytes for file in files.values() if not is_url(file.path)) <= DIGEST_LIMIT_BYTES
    return {name: sha256_file(Path(file.path)) if small and not is_url(file.path) else file.version for name, file in files.items()}
